// Signals at any moment of a start: nothing of it may be left.
import test from 'ava'
import { program } from './support/program.js'
import { finished, Scene } from './support/scene.js'

const ROUNDS = Number(process.env.EARLY_SIGNALS ?? 12)
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const
/** Milliseconds in which a supervisor comes to listen, and some more. */
const A_TAKEOVER = 12

const WAYS = {
  'that becomes a supervisor in the foreground': {
    detach: 'false',
    options: `{ monitor: true, listen: { web: './d.sock' } }`,
  },
  'that detaches': { detach: 'true', options: `{ ready: 'manual', listen: { web: './d.sock' } }` },
  'that detaches a supervisor': { detach: 'true', options: `{ ready: 'manual', monitor: true }` },
} as const

for (const [what, { detach, options }] of Object.entries(WAYS)) {
  test(`a signal at whatever moment after the pid file appears ends a program ${what}, and leaves nothing`, async t => {
    const scene = new Scene(t)
    const path = program(
      scene,
      `daemonize({ name: 'd', pidFile: './d.pid', ...${options} }); setInterval(() => {}, 1_000_000)`,
    )
    for (let round = 0; round < ROUNDS; round++) {
      const child = scene.spawn(process.execPath, [path], { detach })
      const end = finished(child)
      await scene.until('the pid file is there', () => scene.exists('d.pid'))
      // Spinning, since timers count whole milliseconds.
      for (const moment = performance.now() + Math.random() * A_TAKEOVER; performance.now() < moment; );
      child.kill(SIGNALS[round % SIGNALS.length])
      await end
      await scene.empty()
      t.deepEqual(scene.files(), ['program.mjs'], `round ${round}`)
    }
  })
}

test('a supervisor that can’t be executed in the foreground leaves the standard streams as they were', async t => {
  const scene = new Scene(t)
  const text = `const { native } = await import(new URL('./src/binding/addon.js', daemonicUrl))
const none = { kind: 'null' }
const plan = {
  executable: '/nowhere', program: process.execPath, arguments: [process.execPath], directory: here, environment: [],
  note: '{}', outlivesLauncher: false, stdin: none, stdout: { kind: 'file', path: here + '/out', mode: 0o600 }, stderr: none,
  listen: [], preserve: [], resources: { limits: [] }, supervisor: { executable: '/nowhere/at/all', config: '{}' },
}
const before = [0, 1, 2].map(fd => fs.readlinkSync('/proc/self/fd/' + fd))
const flags = () => [0, 1, 2].map(fd => /flags:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1])
const flagsBefore = flags()
const { kind, step } = native.executeSupervisor(plan, () => {})
const after = [0, 1, 2].map(fd => fs.readlinkSync('/proc/self/fd/' + fd))
console.log(JSON.stringify([kind, step, after.join() === before.join(), flags().join() === flagsBefore.join()]))`
  const here = new URL('../index.js', import.meta.url).href
  const path = program(scene, `const daemonicUrl = '${here}'\n${text}`)
  const { code, stdout, stderr } = await scene.node(path)
  t.is(code, 0, stderr)
  t.deepEqual(JSON.parse(stdout), ['system', 'exec', true, true])
})
