// help, version, completion: the verbs that print a text and touch no daemon.
import { readFileSync } from 'node:fs'
import { COMMANDS, SHELLS } from './commands.js'
import { defaultName } from './default-name.js'
import { extra } from './extra.js'
import type { Invocation } from './invocation.js'
import { logPath, runPath } from './library.js'
import { unknownCommand } from './parse.js'
import { unexpected } from './parse-value.js'
import { columns, hasColors, write } from './print.js'
import { everyTarget } from './targets.js'
import { UsageError } from './usage.js'

/**
 * Prints the help of a command, or the overview: on stdout where the user asked for it, on stderr if `invocation` is
 * null, because there was no command at all.
 */
export async function showHelp(invocation: Invocation | null): Promise<number> {
  const { helpText } = extra('help')
  const fd = invocation ? 1 : 2
  const [word, script] =
    invocation?.command.name === 'help' ? invocation.words : [invocation?.command.name, invocation?.words[0]]
  const command = COMMANDS.find(({ name }) => name === word)
  if (word !== undefined && !command) throw unknownCommand(word)
  const name = script === undefined ? 'NAME' : defaultName(script)
  const places = { pidFile: runPath(`${name}.pid`), log: logPath(name), name }
  write(fd, helpText(command, places, { width: columns(fd), hasColors: hasColors(fd) }))
  return 0
}

/** Prints the package's version. */
export async function showVersion(): Promise<number> {
  write(1, `${version()}\n`)
  return 0
}

/** Prints a completion script; or, for those scripts themselves, the names of all daemons (`completion targets`). */
export async function showCompletion({ words: [shell = ''] }: Invocation): Promise<number> {
  if (shell === 'targets') {
    write(
      1,
      everyTarget()
        .map(({ name }) => `${name}\n`)
        .join(''),
    )
    return 0
  }
  const known = SHELLS.find(each => each === shell)
  if (!known) throw wrongShell(shell)
  write(1, readFileSync(packageFile(`dist/completions/daemonic.${known}`), 'utf8'))
  return 0
}

function wrongShell(shell: string): UsageError {
  return new UsageError(unexpected('the shell', SHELLS.join(', '), shell, SHELLS).message, 'completion')
}

function version(): string {
  return (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version
}

/** Returns the URL of a file of the package: this bundle lies in its dist folder. */
function packageFile(path: string): URL {
  return new URL(`../${path}`, import.meta.url)
}
