// What a daemon says, on the terminal of whoever looks at it: text and colours, and nothing that a terminal obeys.
import { mkdirSync, writeFileSync } from 'node:fs'
import type { ExecutionContext } from 'ava'
import { cli, cliOnTerminal, place, started } from './support/cli.js'
import { withPython } from './support/locks.js'
import { Scene } from './support/scene.js'

/** The title, the clipboard, the screen, the cursor, the terminal's answers, 8-bit controls, and words turned around. */
const OBEYED = [
  '\x1b]0;owned\x07',
  '\x1b]52;c;cm0gLXJmIH4=\x1b\\',
  '\x1b[2J',
  '\x1b[1;1H',
  '\x1b[6n',
  '\x1bc',
  '\x1bP$q"p\x1b\\',
  '\x9b2J',
  '\u202e',
  '\u2066',
  '\b\b\b',
  '\x7f',
  'good\rbad',
]

/** All that a terminal obeys but colours and the ends of lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const DANGEROUS = /\x1b(?!\[[\d;:]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\p{Bidi_Control}\u2028\u2029]/u

/** The terminal itself ends lines by \r\n. */
function isHarmless(t: ExecutionContext, text: string): void {
  const found = DANGEROUS.exec(text.replaceAll('\r\n', '\n'))
  t.is(found, null, JSON.stringify(text))
}

withPython('logs shows colours on a terminal, and no other control character', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('state'))
  writeFileSync(scene.path('state/web.log'), `${OBEYED.map(each => `a${each}b`).join('\n')}\n\x1b[31mred\tfox\r\n`)
  const { code, stdout } = await cliOnTerminal(scene, ['logs', 'web'], { columns: 200 })
  t.is(code, 0)
  isHarmless(t, stdout)
  t.true(stdout.includes('\x1b[31mred\tfox\x1b[0m\r\n'), JSON.stringify(stdout))
  t.true(stdout.includes('a\\x1b[2Jb'))
  t.true(stdout.includes('a\\u202eb'))
  // A pipe gets what is in the file.
  t.is((await cli(scene, ['logs', 'web'])).stdout, scene.read('state/web.log'))
})

withPython('why a start failed is shown without control characters', async t => {
  const scene = new Scene(t)
  const path = scene.write('web.mjs', `console.error(${JSON.stringify(OBEYED.join('\n'))}); process.exit(3)`)
  const { code, stdout } = await cliOnTerminal(scene, ['start', path], {
    columns: 200,
    env: { DAEMONIC_DETACH: 'true' },
  })
  t.is(code, 3)
  t.true(stdout.includes('it wrote'))
  isHarmless(t, withoutProgress(stdout))
})

withPython('the status of a daemon is shown without control characters, and as JSON it can be parsed', async t => {
  const scene = new Scene(t)
  place(scene, 'server', 'web.mjs')
  await started(scene)
  const state = JSON.parse(scene.read('run/web.json'))
  const text = OBEYED.join('')
  writeFileSync(scene.path('run/web.json'), JSON.stringify({ ...state, release: text, addresses: { [text]: text } }), {
    mode: 0o600,
  })
  const shown = await cliOnTerminal(scene, ['status', 'web'], { columns: 300 })
  t.is(shown.code, 0)
  isHarmless(t, shown.stdout)
  for (const run of [cli, cliOnTerminal]) {
    const { stdout } = await run(scene, ['status', '--json', 'web'], { columns: 300 })
    isHarmless(t, stdout)
    t.is(JSON.parse(stdout).daemons[0].version, text)
  }
})

/** Our own progress line is erased by these sequences. */
function withoutProgress(text: string): string {
  return ['\r\x1b[K', '\x1b[K', '\x1b[?25h', '\x1b[?25l'].reduce((rest, each) => rest.replaceAll(each, ''), text)
}
