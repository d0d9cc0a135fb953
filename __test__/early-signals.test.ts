// Signals at any moment of a start: nothing of it may be left.
import test from 'ava'
import type { Programs as Starts } from './fixtures/starts.js'
import type { Programs as Supervised } from './fixtures/supervised.js'
import { finished, programs, Scene } from './support/scene.js'

const starts = programs<Starts>('starts')
const supervised = programs<Supervised>('supervised')

const ROUNDS = Number(process.env.EARLY_SIGNALS ?? 8)
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const
/** Milliseconds in which a supervisor comes to listen, and some more. */
const A_TAKEOVER = 12

const WAYS = {
  'that becomes a supervisor in the foreground': {
    detach: 'false',
    program: supervised('stays', { monitor: true, log: 'inherit', listen: { web: './web.sock' } }),
  },
  'that detaches': { detach: 'true', program: starts('isNeverReady') },
  'that detaches a supervisor': {
    detach: 'true',
    program: starts('becomes', { monitor: true, log: 'inherit', listen: { web: './web.sock' } }),
  },
} as const

for (const [what, { detach, program }] of Object.entries(WAYS)) {
  test(`a signal at whatever moment after the pid file appears ends a program ${what}, and leaves nothing`, async t => {
    const scene = new Scene(t)
    for (let round = 0; round < ROUNDS; round++) {
      const child = scene.spawnNode(program, { detach })
      const end = finished(child)
      await scene.until('the pid file is there', () => scene.exists('d.pid') || child.exitCode !== null)
      // Spinning, since timers count whole milliseconds.
      for (const moment = performance.now() + Math.random() * A_TAKEOVER; performance.now() < moment; );
      const signal = SIGNALS[round % SIGNALS.length]
      child.kill(signal)
      // A supervisor takes HUP for a request to reload, which it refuses while it starts.
      if (signal === 'SIGHUP') child.kill('SIGTERM')
      await end
      await scene.empty()
      scene.remove('session')
      t.deepEqual(scene.files(), [], `round ${round}`)
    }
  })
}
