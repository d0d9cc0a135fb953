// What the command tells of itself: help, version, completions, manual pages; all from one table.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { COMMANDS } from '../src/cli/commands.js'
import { cli, cliOnTerminal, started } from './support/cli.js'
import { withPython } from './support/locks.js'
import { Scene } from './support/scene.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('help names every command', async t => {
  const scene = new Scene(t)
  for (const args of [['help'], ['--help'], ['-h']]) {
    const { code, stdout, stderr } = await cli(scene, args)
    t.is(code, 0, stderr)
    for (const { name, summary } of COMMANDS) t.regex(stdout, new RegExp(`^  ${name} +${summary.slice(0, 20)}`, 'm'))
  }
})

test('help of a command has its options in groups, and the defaults as they resolve here', async t => {
  const scene = new Scene(t)
  const { code, stdout } = await cli(scene, ['start', '--help', 'my-app.js'])
  t.is(code, 0)
  for (const group of ['Program', 'Identity', 'Files', 'Supervision']) t.regex(stdout, new RegExp(`^${group}:$`, 'm'))
  const flat = stdout.replaceAll(/\s+/g, ' ')
  t.true(flat.includes(`(default: ${scene.path('run/my-app.pid')})`), flat)
  t.true(flat.includes(`(default: ${scene.path('state/my-app.log')})`))
  for (const { name, options } of COMMANDS) {
    const { stdout: help } = await cli(scene, ['help', name])
    for (const option of options) t.true(help.includes(`--${option.name}`), `${name} --${option.name}`)
  }
})

withPython('help is as wide as the terminal, and coloured unless NO_COLOR is set', async t => {
  const scene = new Scene(t)
  for (const columns of [100, 60, 40]) {
    for (const args of [['help', 'start'], ['help', 'logs'], ['help']]) {
      const { stdout } = await cliOnTerminal(scene, args, { columns })
      t.true(stdout.includes('\x1b['))
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
      for (const line of stdout.replaceAll(/\x1b\[\d+m/g, '').split('\r\n')) t.true(line.length <= columns, line)
    }
  }
  const plain = await cliOnTerminal(scene, ['help', 'start'], { env: { NO_COLOR: '1' } })
  t.false(plain.stdout.includes('\x1b['))
  const forced = await cli(scene, ['help', 'start'], { env: { FORCE_COLOR: '1' } })
  t.true(forced.stdout.includes('\x1b['))
})

test('version prints package.json’s', async t => {
  const scene = new Scene(t)
  const { version } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  for (const args of [['version'], ['--version'], ['-V']]) t.is((await cli(scene, args)).stdout, `${version}\n`)
})

test('a reader that has seen enough is no error', async t => {
  const scene = new Scene(t)
  const { code, stderr } = await scene.run('bash', [
    '-o',
    'pipefail',
    '-c',
    `for i in 1 2 3; do ${process.execPath} ${root}/dist/cli.cjs help start | head -1 >/dev/null || exit; done`,
  ])
  t.is(code, 0)
  t.is(stderr, '')
})

test('bash completes commands, options, values and the names of daemons', async t => {
  const scene = new Scene(t)
  await started(scene, 'nightly')
  const script = (await cli(scene, ['completion', 'bash'])).stdout
  scene.write('complete.bash', script)
  const complete = async (...words: string[]) => {
    const list = words.map(word => `'${word}'`).join(' ')
    const text = `daemonic() { ${process.execPath} ${root}/dist/cli.cjs "$@"; }
. ./complete.bash; COMP_WORDS=(daemonic ${list}); COMP_CWORD=${words.length}; _daemonic; echo "\${COMPREPLY[@]}"`
    const env = { DAEMONIC_RUNTIME_DIR: scene.path('run') }
    const { code, stdout, stderr } = await scene.run('bash', ['-c', text], { env })
    t.is(code, 0, stderr)
    return stdout.trim().split(' ')
  }
  t.deepEqual(await complete('sta'), ['start', 'status'])
  t.deepEqual(await complete('start', '--max-'), ['--max-delay', '--max-failures', '--max-memory'])
  t.deepEqual(await complete('start', '--restart', 'on-'), ['on-failure', 'on-abnormal'])
  t.deepEqual(await complete('stop', 'ni'), ['nightly'])
})

for (const shell of ['bash', 'zsh', 'fish']) {
  test(`the completions for ${shell} are what its parser takes, and the package has them`, async t => {
    const { code, stdout } = await cli(new Scene(t), ['completion', shell])
    t.is(code, 0)
    t.is(stdout, readFileSync(`${root}/dist/completions/daemonic.${shell}`, 'utf8'))
    for (const { name } of COMMANDS) t.true(stdout.includes(name))
    const { error, status, stderr } = spawnSync(shell, ['-n'], { input: stdout, encoding: 'utf8' })
    if (error) t.log(`skipped: there is no ${shell}`)
    else t.is(status, 0, stderr)
  })
}

test('there is a manual page for the command, and one for each verb with options', t => {
  const pages = readdirSync(`${root}/dist/man`)
  t.true(pages.includes('daemonic.1'))
  for (const { name, options } of COMMANDS) {
    if (options.length < 2) continue
    const page = readFileSync(`${root}/dist/man/daemonic-${name}.1`, 'utf8')
    for (const option of options) t.true(page.includes(`\\-\\-${option.name.replaceAll('-', '\\-')}`), option.name)
  }
})

test('man formats the pages without a warning', t => {
  for (const page of readdirSync(`${root}/dist/man`)) {
    const env = { ...process.env, MANWIDTH: '80', MANROFFSEQ: '', LC_ALL: 'C.UTF-8' }
    const { error, status, stderr, stdout } = spawnSync('man', ['--warnings=w', '-l', `${root}/dist/man/${page}`], {
      env,
      encoding: 'utf8',
    })
    if (error || /command not found|minimized/.test(stdout + stderr)) {
      t.log('skipped: there is no man')
      break
    }
    t.is(status, 0, stderr)
    t.is(stderr, '')
  }
  t.pass()
})

test('docs/cli.md tells of every command, option and exit code', t => {
  const text = readFileSync(`${root}/docs/cli.md`, 'utf8')
  for (const { name, options } of COMMANDS) {
    t.true(text.includes(`daemonic ${name}`), name)
    for (const option of options) t.true(text.includes(`--${option.name}`), option.name)
  }
})

test('package.json lists every manual page, so that `npm install --global` links them', t => {
  const { man } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  const pages = readdirSync(`${root}/dist/man`).map(page => `./dist/man/${page}`)
  t.deepEqual(man.toSorted(), pages.toSorted())
})
