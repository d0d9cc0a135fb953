// What the README and the pages beside it show is run as it stands, in a directory that has installed this checkout.
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { freePort } from './support/listening.js'
import { fixture, type Result, Scene } from './support/scene.js'

// Compiled to dist/__test__.
const root = fileURLToPath(new URL('../..', import.meta.url))
const readme = ['README.md', 'docs/daemonize.md', 'docs/pid-lock.md']
  .map(page => readFileSync(`${root}/${page}`, 'utf8'))
  .join('\n')

test('the first example becomes a daemon that answers, and its stop ends it', async t => {
  const { scene, address, started } = await firstExample(t)
  t.is(started.code, 0, started.stderr)
  const pid = Number(scene.read('hello.pid'))
  t.is(await (await fetch(`http://${address}/`)).text(), `Hello from process ${pid}\n`)
  await scene.until('the log has its line', () => scene.read('hello.log').includes(`listening on ${address}\n`))

  const stopped = await run(scene, 'stop.mjs')
  t.is(stopped.code, 0, stopped.stderr)
  t.regex(stopped.stdout, new RegExp(`pid: ${pid},.*wasRunning: true,.*forced: false`, 's'))
  await scene.empty()
  t.false(scene.exists('hello.pid'))
})

test('a second start of the first example is refused as the README says', async t => {
  const { scene, env } = await firstExample(t)
  const { code, stderr } = await run(scene, 'hello.mjs', env)
  const pid = scene.read('hello.pid').trim()
  t.is(code, 1)
  t.is(
    stderr,
    readmeLine(/`(hello: already running as [^`]*)`/)
      .replace('4242', pid)
      .replace('…', scene.directory),
  )
})

test('the commands that show that it is a daemon show it', async t => {
  const { scene } = await firstExample(t)
  const pid = scene.read('hello.pid').trim()
  const { code, stdout, stderr } = await scene.run('sh', ['-c', shell('PID=')])
  if (/ps: .*not found/.test(stderr)) {
    t.log('skipped: this host has no ps')
    t.pass()
    return
  }
  t.is(code, 0, stderr)
  const [heading, row = '', ...listing] = stdout.trimEnd().split('\n')
  t.deepEqual(heading?.trim().split(/\s+/), ['PID', 'PPID', 'PGID', 'SID', 'TT'])
  const [itself, parent, group, session, terminal] = row.trim().split(/\s+/)
  t.is(itself, pid)
  t.is(group, pid)
  t.not(session, pid)
  t.false(readdirSync('/proc').includes(String(session)), 'the leader of the session is gone')
  t.is(terminal, '?')
  t.not(parent, String(process.pid))

  const descriptors = new Map(
    listing.flatMap(line => {
      const [, fd, target] = / (\d+) -> (.*)$/.exec(line) ?? []
      return fd === undefined ? [] : [[Number(fd), target] as const]
    }),
  )
  t.is(descriptors.get(0), '/dev/null')
  t.is(descriptors.get(1), scene.path('hello.log'))
  t.is(descriptors.get(2), scene.path('hello.log'))
  t.regex(descriptors.get(3) ?? '', /^socket:/)
  const files = [...descriptors].filter(([fd, target]) => fd > 3 && target?.startsWith(scene.directory))
  t.deepEqual(
    files.map(([, target]) => target),
    [scene.path('hello.pid')],
  )
})

test('the commands start, show, reload and stop it as they stand', async t => {
  const scene = install(t, ['server.mjs'])
  mkdirSync(scene.path('node_modules/.bin'))
  symlinkSync('../daemonic/dist/cli.cjs', scene.path('node_modules/.bin/daemonic'))
  const env = {
    ...{ PORT: String(await freePort()), PATH: `${scene.path('node_modules/.bin')}:${process.env.PATH}` },
    ...{ DAEMONIC_RUNTIME_DIR: scene.path('run'), DAEMONIC_STATE_DIR: scene.path('state') },
  }
  // npx would ask the network for news of itself.
  const line = (command: string) => scene.run('sh', ['-c', `npx() { "$@"; }; ${command}`], { env })
  const [start = '', status = '', logs = '', reload = '', stop = ''] = shell('daemonic start').trim().split('\n')

  const started = await line(start)
  t.is(started.code, 0, started.stderr)
  const listening = `listening on http://\\[::\\]:${env.PORT} `
  t.regex(started.stdout, new RegExp(`^server: running as pid \\d+, ${listening}\\(\\d+ ms\\)\n$`))
  t.regex(await (await fetch(`http://127.0.0.1:${env.PORT}`)).text(), /^Hello from process \d+\n$/)
  t.regex((await line(status)).stdout, new RegExp(`server +\\d+ +running .* \\[::\\]:${env.PORT}`))
  t.is((await line(logs)).code, 0)
  const reloaded = await line(reload)
  t.is(reloaded.code, 0, reloaded.stderr)
  t.regex(reloaded.stdout, /^server: reloaded \(/)
  t.regex((await line(stop)).stdout, /^server: stopped \(/)
})

test('behind an entry that imports nothing else, a program runs once', async t => {
  const scene = install(t, ['entry.mjs'])
  scene.write('main.mjs', `export { main } from '${pathToFileURL(fixture('scripts/tells-its-runs'))}'\n`)
  const { code, stderr } = await run(scene, 'entry.mjs')
  t.is(code, 0, stderr)
  await scene.until('it has run', () => scene.exists('runs') && scene.read('runs').endsWith('\n'))
  t.is(scene.read('runs'), scene.read('main.pid'))
})

test('a tool and its helper work as the README shows: one daemon answers every call', async t => {
  const scene = install(t, ['helper.mjs', 'tool.mjs'])
  const answers = [await run(scene, 'tool.mjs'), await run(scene, 'tool.mjs')]
  const [pid] = scene.processes()
  for (const { code, stdout, stderr } of answers) {
    t.is(code, 0, stderr)
    t.is(stdout, `Hello from process ${pid}\n`)
  }
})

test('PidLock works as the README shows', async t => {
  const scene = install(t)
  writeFileSync(
    scene.path('job.mjs'),
    block('PidLock.acquire').replace(/^(PidLock\.inspect\(.*?\))/m, 'console.log($1)'),
  )
  const { code, stdout, stderr } = await run(scene, 'job.mjs')
  t.is(code, 0, stderr)
  t.regex(stdout, /^\{ state: 'running', pid: \d+, verified: true \}\n$/)
  t.false(scene.exists('job.pid'))
})

async function firstExample(t: ExecutionContext) {
  const scene = install(t, ['hello.mjs', 'stop.mjs'])
  const env = { PORT: String(await freePort()) }
  const started: Result = await run(scene, 'hello.mjs', env)
  return { scene, started, env, address: `127.0.0.1:${env.PORT}` }
}

/** A directory with the library and those of the README's programs. */
function install(t: ExecutionContext, programs: readonly string[] = []): Scene {
  const scene = new Scene(t)
  mkdirSync(scene.path('node_modules'))
  symlinkSync(root, scene.path('node_modules/daemonic'))
  for (const name of programs) writeFileSync(scene.path(name), block(`// ${name}\n`))
  return scene
}

/** As a user would run it: in that directory, by its relative name. */
function run(scene: Scene, name: string, env: Record<string, string> = {}): Promise<Result> {
  const own = { DAEMONIC_RUNTIME_DIR: scene.directory, DAEMONIC_STATE_DIR: scene.directory }
  return scene.run(process.execPath, [name], { env: { ...own, ...env } })
}

/** The JavaScript of the README that has this text in it. */
function block(text: string): string {
  return fenced('js', text)
}

function shell(text: string): string {
  return fenced('sh', text)
}

function fenced(language: string, text: string): string {
  const found = [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].find(
    ([, kind, body]) => kind === language && body?.includes(text),
  )
  if (found?.[2] === undefined) throw new Error(`the README has no ${language} block with '${text}'`)
  return found[2]
}

function readmeLine(pattern: RegExp): string {
  const found = pattern.exec(readme)?.[1]
  if (found === undefined) throw new Error(`the README has no ${pattern}`)
  return `${found}\n`
}
