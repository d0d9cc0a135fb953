// A program's own command line: start, stop, restart, reload, status and run, for this one daemon.
import { writeSync } from 'node:fs'
import { basename } from 'node:path'
import {
  type CommandLine,
  commandHelp,
  commandLineOf,
  merged,
  mistaken,
  pidFileOf,
  unexpected,
  VERBS,
} from './command/command-line.js'
import { elapsed, listeningPhrase, startedPhrase } from './command/phrases.js'
import { visible } from './command/visible.js'
import { reload, stop } from './control.js'
import { mayBeDaemon } from './daemon/arrival.js'
import { registered } from './daemon/registry.js'
import { daemonizeTelling } from './daemonize.js'
import { DaemonError, OptionError } from './errors/classes.js'
import type { DaemonizeOptions, ListenMap } from './option-types.js'
import { nameOf } from './options/name.js'
import { normalise } from './options/normalise.js'
import { VARIABLE } from './options/verbosity.js'
import type { AnyLaunched } from './start/launcher.js'
import { status } from './status.js'
import type { Daemon } from './types.js'

/** Options of command(). */
export interface CommandOptions<L extends ListenMap = ListenMap> extends DaemonizeOptions<L> {
  /**
   * Whether the program has arguments of its own. If not, a line with a word or an option that is none of the command's
   * is refused with the usage, and nothing runs.
   * @default true
   */
  takesArguments?: boolean | undefined
}

/**
 * Makes a command of a program: `app.js start | stop | restart | reload | status | run`, where `start` makes a daemon of
 * this very program and says so, and `run`, or no verb, stays in the foreground; both call `main` then. The options are
 * daemonize()'s, but `pidFile` and `log` are true unless given. The line may also say --detach, --no-chdir, --monitor,
 * --pid-file[=FILE], --overwrite-pid-file and -v, in Open vSwitch's spelling too ({@link commandHelp} explains them); what
 * else is on it stays in process.argv, in its order.
 *
 * Where `main` is not called, this process exits here, with the exit codes of `daemonic`; an error of the library prints
 * as one line on stderr first.
 * @throws what `main` throws, and in the daemon the errors of daemonize()
 */
export async function command<const L extends ListenMap = Record<never, never>>(
  options: CommandOptions<L>,
  main: (daemon: Daemon<L>) => unknown,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const { takesArguments = true, ...program } = options as CommandOptions
  const name = program.name ?? nameOf(process.argv[1] ?? '')
  const line = commandLineOf(argv)
  const daemon = await exitingOnErrors(name, () => daemonOf(program, name, line, takesArguments))
  await main(daemon as Daemon<L>)
}

/** Carries out the verb. Resolves with the daemon in the process that is one; elsewhere the process exits. */
async function daemonOf(
  program: DaemonizeOptions,
  name: string,
  line: CommandLine,
  takesArguments: boolean,
): Promise<Daemon> {
  const options = merged(program, line.options)
  const isDaemon = mayBeDaemon || registered() !== undefined
  if (!isDaemon) {
    const problem = takesArguments || line.verb === 'help' ? null : unexpected(line)
    if (problem !== null) process.exit(refused(problem, name, options))
    if (!['start', 'run', 'restart'].includes(line.verb)) process.exit(await controlDaemon(line, options, name))
    const note = mistaken(line)
    if (note !== null) say(2, `${name}: ${note}`)
  }
  if (line.detail !== undefined) process.env[VARIABLE] = line.detail
  normalise(options)
  if (!isDaemon && line.verb === 'restart') await controlDaemon(line, options, name)
  const since = performance.now()
  const tell = (started: AnyLaunched) => say(1, `${name}: ${startedPhrase(started, performance.now() - since)}`)
  const daemon = daemonizeTelling({ ...options, detach: detachFor(line, options) }, line.isNamed ? tell : undefined)
  process.argv = [...process.argv.slice(0, 2), ...line.rest]
  return daemon
}

/** Decides on `detach`: `start` detaches in a container too, unless DAEMONIC_DETACH is set. */
function detachFor({ verb }: CommandLine, { detach = 'auto' }: DaemonizeOptions): boolean | 'auto' {
  if (verb === 'run') return false
  return detach === 'auto' && !process.env.DAEMONIC_DETACH ? true : detach
}

/** Carries out a verb that acts on the daemon from outside, and returns the exit code. */
async function controlDaemon({ verb }: CommandLine, options: DaemonizeOptions, name: string): Promise<number> {
  if (verb === 'help') {
    say(1, usage(options))
    return 0
  }
  const path = pidFileOf(options)
  if (path === null) throw new OptionError('pidFile', `\`${verb}\` needs a pid file: nothing tells what runs`)
  const target = path.includes('/') ? path : `./${path}`
  switch (verb) {
    case 'stop':
    case 'restart': {
      const { pid, wasRunning, forced, elapsed: time } = await stop(target)
      const how = forced ? 'killed' : 'stopped'
      if (wasRunning || verb === 'stop')
        say(1, `${name}: ${wasRunning ? `${how} (pid ${pid}, ${elapsed(time)})` : `not running (${path})`}`)
      return 0
    }
    case 'reload':
      await reload(target)
      say(1, `${name}: reloaded`)
      return 0
    default:
      return printStatus(target, name)
  }
}

/** Prints the status, and returns the exit code of the LSB: 0 running, 1 dead with a pid file, 3 not running. */
async function printStatus(target: string, name: string): Promise<number> {
  const { state, pid, uptime, addresses, statusText, failure } = await status(target)
  if (state === 'dead' || state === 'stopped' || state === 'failed') {
    const why = state === 'dead' ? `${target} was left by pid ${pid}` : `no pid file ${target}`
    say(1, `${name}: not running (${failure ? `failed: ${failure.lastExit}` : why})`)
    return state === 'stopped' ? 3 : 1
  }
  const since = uptime === null ? '' : `, since ${new Date(Date.now() - uptime).toISOString()}`
  const wrong = failure ? `; last: ${failure.lastExit}` : ''
  say(
    1,
    `${name}: ${state} as pid ${pid}${listeningPhrase(addresses)}${since}${statusText ? `: ${statusText}` : ''}${wrong}`,
  )
  return state === 'failing' ? 1 : 0
}

/** Says what is wrong with the line, and how it could be; gives the exit code. */
function refused(problem: string, name: string, options: DaemonizeOptions): number {
  say(2, `${name}: ${problem}\n\n${usage(options)}`)
  return 2
}

function usage(options: DaemonizeOptions): string {
  const program = basename(process.argv[1] ?? 'program')
  return `Usage: ${program} ${VERBS.join('|')} [options] [args…]\n\n${commandHelp(options).trimEnd()}`
}

/** Prints an error of the library as one line and exits. In the daemon it is thrown, so that it gets into the log. */
async function exitingOnErrors<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    if (!(error instanceof DaemonError) || mayBeDaemon) throw error
    const message = error.message.startsWith(`${name}: `) ? error.message : `${name}: ${error.message}`
    say(2, message)
    return process.exit(error.exitCode)
  }
}

/** Writes a line at once: the process may exit before a stream has written it. A closed pipe is no error. */
function say(fd: 1 | 2, text: string): void {
  try {
    writeSync(fd, `${visible(text)}\n`)
  } catch {
    // the pipe's reader is gone
  }
}
