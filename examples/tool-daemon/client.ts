// Asking the daemon: one for each project, started by whoever comes first, replaced by whoever brings a newer version.
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { connect, launch, stop, targetOf } from 'daemonic'

const NAME = 'tool-daemon'
const PROGRAM = fileURLToPath(new URL('./daemon.js', import.meta.url))
/** A real tool takes it from its package.json. */
const VERSION = '1.0.0'
const IDLE_TIMEOUT = 3 * 60_000
/** A daemon that ends at the very moment of a call answers nothing: then there is another, or one is started. */
const ATTEMPTS = 5
const GONE = ['ERR_DAEMON_NOT_RUNNING', 'ECONNRESET', 'EPIPE']

/** What the daemon of `project` makes of `source`, and who it was. */
export async function formatBy(project: string, source: string): Promise<{ by: string; result: string }> {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await ask(project, source)
      const end = answer.indexOf('\n')
      if (end !== -1) return { by: answer.slice(0, end), result: answer.slice(end + 1) }
    } catch (error) {
      if (!GONE.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
    if (attempt === ATTEMPTS) throw new Error(`the daemon did not answer, ${ATTEMPTS} times`)
  }
}

async function ask(project: string, source: string): Promise<string> {
  const { target } = await launch(PROGRAM, {
    name: NAME,
    instance: project,
    ifRunning: 'reuse',
    version: VERSION,
    idleTimeout: IDLE_TIMEOUT,
    listen: { main: { path: true, mode: 0o600 } },
  })
  const socket = await connect(target, 'main')
  socket.end(source)
  return text(socket)
}

export async function stopOf(project: string): Promise<void> {
  await stop(targetOf(NAME, project))
}
