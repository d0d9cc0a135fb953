// `daemonic logs`: last lines, several files, following across rotation and truncation.
import { appendFileSync, mkdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { CLI, cli, cliEnvironment, isReadable, ownLines, place, spawnCli, started } from './support/cli.js'
import { Scene } from './support/scene.js'

/** The log of a daemon that isn't there: the default file. */
function log(scene: Scene, text: string, name = 'web'): string {
  mkdirSync(scene.path('state'), { recursive: true })
  const path = scene.path(`state/${name}.log`)
  writeFileSync(path, text)
  return path
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}\n`).join('')

/** Follows; gives what has been seen so far. */
function following(scene: Scene, args: readonly string[]) {
  const child = spawnCli(scene, ['logs', '-f', ...args])
  let text = ''
  let notes = ''
  child.stdout?.setEncoding('utf8').on('data', chunk => (text += chunk))
  child.stderr?.setEncoding('utf8').on('data', chunk => (notes += chunk))
  const seen = (wanted: string) =>
    scene.until(`there is ${JSON.stringify(wanted)}`, () => text.endsWith(wanted) && text)
  return { child, seen, notes: () => notes, text: () => text }
}

test('the last 100 lines, or as many as are asked for', async t => {
  const scene = new Scene(t)
  log(scene, numbered(1, 250))
  t.is((await cli(scene, ['logs', 'web'])).stdout, numbered(151, 250))
  t.is((await cli(scene, ['logs', 'web', '-n', '3'])).stdout, numbered(248, 250))
  t.is((await cli(scene, ['logs', 'web', '-n3'])).stdout, numbered(248, 250))
  t.is((await cli(scene, ['logs', 'web', '--lines=1000'])).stdout, numbered(1, 250))
  t.is((await cli(scene, ['logs', 'web', '-n', '0'])).stdout, '')
})

test('long files are read from their end; what has no newline yet counts as a line', async t => {
  const scene = new Scene(t)
  log(scene, `${'x'.repeat(200_000)}\n${numbered(1, 30_000)}unfinished`)
  t.is((await cli(scene, ['logs', 'web', '-n', '2'])).stdout, 'line 30000\nunfinished\n')
  const all = await cli(scene, ['logs', 'web', '-n', '20000'])
  t.is(all.stdout, `${numbered(10_002, 30_000)}unfinished\n`)
})

test('colours are kept', async t => {
  const scene = new Scene(t)
  log(scene, '\x1b[31mred\x1b[0m\n')
  t.is((await cli(scene, ['logs', 'web'])).stdout, '\x1b[31mred\x1b[0m\n')
})

test('what can’t be read doesn’t keep the others from being shown', async t => {
  const scene = new Scene(t)
  log(scene, 'here\n')
  mkdirSync(scene.path('state/bad.log'))
  const result = await cli(scene, ['logs', 'bad', 'web'])
  t.deepEqual([result.code, result.stdout], [1, 'web | here\n'])
  t.regex(result.stderr, /^bad: cannot open the log .*bad\.log: EISDIR.*\n$/)
  isReadable(t, result)
})

test('both outputs are in the order of their times, and labelled', async t => {
  const scene = new Scene(t)
  place(scene, 'prints-times', 'two.mjs')
  const { code, stderr } = await cli(scene, ['start', '--stdout', 'out.log', '--stderr', 'err.log', 'two.mjs'])
  t.is(code, 0, stderr)
  await scene.until('all is written', () => scene.read('err.log').includes('fourth'))
  t.is(
    (await cli(scene, ['logs', 'two'])).stdout,
    `out | 2026-01-01T00:00:01Z first
err | 2026-01-01T00:00:02Z second
out | 2026-01-01T00:00:03Z third
out |   at its place
err | 2026-01-01T00:00:04Z fourth
`,
  )
})

test('several daemons are labelled by their names', async t => {
  const scene = new Scene(t)
  log(scene, '2026-01-01 00:00:02 b\n', 'one')
  log(scene, '[2026-01-01 00:00:01] a\n', 'two')
  const { stdout } = await cli(scene, ['logs', 'one', 'two'])
  t.is(stdout, 'two | [2026-01-01 00:00:01] a\none | 2026-01-01 00:00:02 b\n')
})

test('--since leaves out what is older, by the times that lines begin with', async t => {
  const scene = new Scene(t)
  const at = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()
  const old = Array.from({ length: 5_000 }, () => `${at(100)} old\n`).join('')
  log(scene, `${old}${at(20)} older\n${at(5)} new\n  with more\n${at(1)} newest\n`)
  const { stdout } = await cli(scene, ['logs', 'web', '--since', '10m'])
  t.deepEqual(stdout.match(/new(est)?$|with more$|old(er)?$/gm), ['new', 'with more', 'newest'])
  t.is((await cli(scene, ['logs', 'web', '--since', '10m', '-n', '1'])).stdout.split('\n').length, 2)
  t.regex((await cli(scene, ['logs', 'web', '--since', at(30)])).stdout, /older/)
})

test('--since knows the times of pino and bunyan, whose lines are JSON', async t => {
  const scene = new Scene(t)
  const at = (minutes: number) => Date.now() - minutes * 60_000
  const nested = { time: at(100), text: '"time":1' }
  const pino = (minutes: number, msg: string) => JSON.stringify({ level: 30, nested, time: at(minutes), msg })
  const bunyan = (minutes: number, msg: string) => JSON.stringify({ nested, msg, time: new Date(at(minutes)), v: 0 })
  const seconds = (minutes: number, msg: string) => JSON.stringify({ time: at(minutes) / 1_000, msg })
  log(scene, `${pino(20, 'a')}\n${pino(5, 'b')}\n{ no JSON\n${pino(1, 'c')}\n`, 'one')
  log(scene, `${bunyan(20, 'd')}\n${bunyan(4, 'e')}\n${seconds(3, 'f')}\n`, 'two')
  const { stdout, stderr } = await cli(scene, ['logs', 'one', 'two', '--since', '10m'])
  t.is(stderr, '')
  t.deepEqual(
    stdout.match(/"msg":"."|no JSON/g)?.map(each => each.replace(/"msg":"(.)"/, '$1')),
    ['b', 'no JSON', 'e', 'f', 'c'],
  )
})

for (const [what, line] of [
  ['without times', 'a line without a time'],
  ['with times', `${new Date().toISOString()} a line`],
] as const) {
  test(`--since shows all of a large log ${what}, and takes no memory for that`, async t => {
    const scene = new Scene(t)
    const path = log(scene, '')
    const lines = 1_000_000
    const piece = `${line}, and what makes it longer\n`.repeat(lines / 100)
    for (let written = 0; written < lines; written += lines / 100) appendFileSync(path, piece)
    // The limit is of Node's heap: the whole text is larger.
    const run = { execArgv: ['--max-old-space-size=24', '--max-semi-space-size=2'] }
    const { code, stdout, stderr } = await scene.run(
      'sh',
      ['-c', '"$@" | wc -l', 'sh', process.execPath, ...run.execArgv, CLI, 'logs', 'web', '--since', '10m'],
      { env: cliEnvironment(scene) },
    )
    t.is(code, 0, stderr)
    t.is(Number(stdout), lines, stderr)
  })
}

test('where lines have no times, --since says so', async t => {
  const scene = new Scene(t)
  const path = log(scene, 'no time\n')
  const { stdout, stderr } = await cli(scene, ['logs', 'web', '--since', '10m'])
  t.is(stdout, 'no time\n')
  t.is(stderr, `${path}: no line begins with a time: --since leaves nothing out\n`)
})

test('what has no log says why: 1', async t => {
  const scene = new Scene(t)
  const absent = await cli(scene, ['logs', 'nobody'])
  t.is(absent.code, 1)
  t.regex(absent.stderr, /^nobody: no log .*nobody\.log, and not running \(no pid file /)
  isReadable(t, absent)
  await started(scene, 'mute', ['--log', 'ignore'])
  const mute = await cli(scene, ['logs', 'mute'])
  t.is(mute.code, 1)
  t.regex(mute.stderr, /^mute: it has no log/)
})

test('-f goes on with what is appended, whole lines', async t => {
  const scene = new Scene(t)
  const path = log(scene, numbered(1, 3))
  const { child, seen, text } = following(scene, ['web', '-n', '1'])
  await seen('line 3\n')
  appendFileSync(path, 'half')
  appendFileSync(path, ' a line\nand é')
  await seen('half a line\n')
  appendFileSync(path, '\n')
  await seen('and é\n')
  t.is(text(), 'line 3\nhalf a line\nand é\n')
  child.kill()
})

test('-f survives rotation, and nothing is lost', async t => {
  const scene = new Scene(t)
  const path = log(scene, 'before\n')
  const { child, seen, text } = following(scene, ['web'])
  await seen('before\n')
  appendFileSync(path, 'last of the old\n')
  renameSync(path, `${path}.1`)
  appendFileSync(`${path}.1`, 'written after the rename\n')
  await seen('written after the rename\n')
  writeFileSync(path, 'first of the new\n')
  await seen('first of the new\n')
  appendFileSync(path, 'second of the new\n')
  await seen('second of the new\n')
  t.is(text(), 'before\nlast of the old\nwritten after the rename\nfirst of the new\nsecond of the new\n')
  child.kill()
})

test('-f survives truncation, and says so', async t => {
  const scene = new Scene(t)
  const path = log(scene, numbered(1, 5))
  const { child, seen, notes } = following(scene, ['web', '-n', '1'])
  await seen('line 5\n')
  truncateSync(path)
  await scene.until('it is told', () => notes().includes(`${path}: truncated\n`))
  appendFileSync(path, 'anew\n')
  await seen('anew\n')
  t.pass()
  child.kill()
})

test('-f of a daemon whose log is moved before it starts anew', async t => {
  const scene = new Scene(t)
  await started(scene)
  const { child, seen } = following(scene, ['web'])
  await seen(' listening\n')
  renameSync(scene.path('state/web.log'), scene.path('state/web.log.1'))
  t.is((await cli(scene, ['restart', 'web'])).code, 0)
  await scene.until('the new one has logged', () => scene.read('state/web.log').includes('listening'))
  await seen(scene.read('state/web.log'))
  t.pass()
  child.kill()
})

test('a reader that goes away ends it quietly', async t => {
  const scene = new Scene(t)
  log(scene, numbered(1, 1000))
  const { child } = following(scene, ['web', '-n', '1000'])
  child.stdout?.destroy()
  const path = scene.path('state/web.log')
  await scene.until('it has ended', () => {
    appendFileSync(path, 'more\n')
    return child.exitCode !== null
  })
  t.is(child.exitCode, 0)
})

test('without a target all logs are shown, merged and labelled', async t => {
  const scene = new Scene(t)
  for (const [name, says] of [
    ['one', '2026-01-01T00:00:02Z b'],
    ['two', '2026-01-01T00:00:01Z a'],
  ] as const) {
    scene.write(`${name}.mjs`, `console.log('${says}')\nsetInterval(() => {}, 1e6)`)
    t.is((await cli(scene, ['start', `${name}.mjs`])).code, 0)
  }
  t.is((await cli(scene, ['start', '--name', 'silent', '--log', 'ignore', 'one.mjs'])).code, 0)
  await scene.until('both have logged', () =>
    ['one', 'two'].every(name => ownLines(scene, `state/${name}.log`).length === 1),
  )
  const { code, stdout, stderr } = await cli(scene, ['logs'])
  t.is(code, 0, stderr)
  t.deepEqual(
    stdout.split('\n').filter(line => line.includes('2026-01-01')),
    ['two | 2026-01-01T00:00:01Z a', 'one | 2026-01-01T00:00:02Z b'],
  )
  const none = await cli(new Scene(t), ['logs'])
  t.deepEqual([none.code, none.stdout, none.stderr], [0, '', 'no daemons\n'])
})

test('--timestamps puts the time of arrival before lines that have none', async t => {
  const scene = new Scene(t)
  const path = log(scene, 'old\n')
  const { child, seen } = following(scene, ['--timestamps', 'web'])
  await seen('old\n')
  appendFileSync(path, 'new\n2026-01-01T00:00:01Z own\n')
  const text = await seen('own\n')
  t.regex(text, /^old\n\d{4}-\d\d-\d\dT\S+Z new\n2026-01-01T00:00:01Z own\n$/)
  child.kill()
  const alone = await cli(scene, ['logs', '--timestamps', 'web'])
  t.is(alone.code, 2)
  t.regex(alone.stderr, /Expected --timestamps with --follow/)
})
