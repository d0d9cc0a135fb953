// Errors of the core know paths; here they learn of which daemon, and of which option.
import { AlreadyRunningError, StartError, SystemCallError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'

/** Runs a step of a start; its errors name the daemon, and the output that a log is for. */
export function namingErrors<T>(settings: Settings, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw withNames(settings, error)
  }
}

/** Gives the error with the daemon's name, and with the output that a log is for. */
export function withNames(settings: Settings, error: unknown): unknown {
  const { name, stdout, stderr } = settings
  if (error instanceof AlreadyRunningError) return new AlreadyRunningError(error.path, error.pid, name)
  if (error instanceof SystemCallError && error.step === 'log' && error.path) {
    const outputs = Object.entries({ stdout, stderr }).filter(([, stream]) => stream.path === error.path)
    error.message = error.message.replace(error.path, `${error.path} (${outputs.map(([key]) => key).join(', ')})`)
  }
  if (error instanceof StartError) addSharing(settings, error)
  return error
}

/** Tells how several workers share a port, where the program's own words show that each has bound it itself. */
function addSharing({ name, listen, supervision }: Settings, error: StartError): void {
  const workers = supervision?.workers ?? 1
  const [taken, port] = /(?:EADDRINUSE|address already in use).*?(?::(\d+))?$/im.exec(error.stderr) ?? []
  if (taken === undefined || workers < 2 || listen.length > 0) return
  const at = port === undefined ? 'the same port' : `port ${port}`
  error.message +=
    `\n${name}: each of its ${workers} workers binds ${at} itself, which only one can: ` +
    `--listen ${port ?? 'PORT'} (\`listen\`) binds it once, and they share it`
}
