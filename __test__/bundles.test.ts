// Programs in a bundle: the library left out of it works as ever; inside it, it works or says to leave it out.
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { type BuildOptions, build } from 'esbuild-wasm'
import { type Result, Scene } from './support/scene.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const PROGRAM = `
import { daemonize, launch, stop } from 'daemonic'
import { dirname } from 'node:path'
const here = dirname(process.argv[1])
const [, , what] = process.argv
if (what === 'launch') launch(here + '/other.js', { pidFile: here + '/other.pid' }).then(started => console.log(started.pid), failed)
else if (what === 'stop') stop(here + '/' + process.argv[3]).then(() => {}, failed)
else {
  daemonize({ pidFile: here + '/d.pid' })
  setInterval(() => {}, 1_000_000)
}
function failed(error) {
  console.error(error.code + ': ' + error.message)
  process.exitCode = 1
}
`

/** Bundles the program to out/bundle.mjs or .cjs, in a project that has the library installed. */
async function bundled(scene: Scene, format: 'esm' | 'cjs', options: BuildOptions = {}): Promise<string> {
  mkdirSync(scene.path('node_modules'))
  symlinkSync(ROOT, scene.path('node_modules/daemonic'))
  mkdirSync(scene.path('out'))
  scene.write('out/other.js', 'setInterval(() => {}, 1_000_000)')
  const outfile = scene.path(`out/bundle.${format === 'esm' ? 'mjs' : 'cjs'}`)
  await build({
    absWorkingDir: scene.directory,
    entryPoints: [scene.write('program.mjs', PROGRAM)],
    outfile,
    bundle: true,
    platform: 'node',
    format,
    logLevel: 'silent',
    ...options,
  })
  return outfile
}

function started(result: Result): string {
  return `${result.code} ${result.stderr}`
}

for (const format of ['esm', 'cjs'] as const) {
  test(`left out of a bundle (${format}), the library works`, async t => {
    const scene = new Scene(t)
    const bundle = await bundled(scene, format, { external: ['daemonic'] })
    t.is(started(await scene.node(bundle)), '0 ')
    t.true(Number(scene.read('out/d.pid')) > 0)
    t.is(started(await scene.node(bundle, { args: ['launch'] })), '0 ')
    t.is(started(await scene.node(bundle, { args: ['stop', 'other.pid'] })), '0 ')
  })

  for (const loader of [{}, { '.node': 'file' } as const]) {
    test(`inside a bundle (${format}, ${JSON.stringify(loader)}), it says to leave it out`, async t => {
      const scene = new Scene(t)
      const bundle = await bundled(scene, format, { loader })
      const { code, stderr } = await scene.node(bundle, { args: ['launch'] })
      t.is(code, 1)
      t.regex(stderr, /^ERR_DAEMON_UNSUPPORTED: .*esbuild: --external:daemonic/)
    })
  }
}

for (const format of ['esm', 'cjs'] as const) {
  // A bundle of CommonJS doesn't know where it lies.
  const what = format === 'esm' ? 'works' : 'says to leave the library out'
  test(`inside a bundle (${format}) beside which the binaries are installed, daemonize() ${what}`, async t => {
    const scene = new Scene(t)
    const bundle = await bundled(scene, format)
    const addon = readdirSync(`${ROOT}/native`).find(name => name.endsWith('.node')) ?? ''
    const name = addon.replace(/^daemonic\.(.*)\.node$/, 'daemonic-$1')
    symlinkSync(`${ROOT}/native`, scene.path(`node_modules/${name}`))
    const { code, stderr } = await scene.node(bundle)
    if (format === 'cjs') t.regex(stderr, /external: \['daemonic'\]/)
    else t.is(code, 0, stderr)
    t.is(scene.exists('out/d.pid'), format === 'esm')
  })
}

test('inside a bundle that lies where no addon is, it says what to install', async t => {
  const scene = new Scene(t)
  const bundle = await bundled(scene, 'esm')
  const elsewhere = join(scene.directory, 'elsewhere')
  mkdirSync(elsewhere)
  cpSync(bundle, `${elsewhere}/bundle.mjs`)
  const { code, stderr } = await scene.node(`${elsewhere}/bundle.mjs`)
  t.is(code, 1)
  t.regex(
    stderr,
    /^daemonic’s binaries .* beside this bundle: leave daemonic out of the bundle \(esbuild: --external:daemonic\)/,
  )
})
