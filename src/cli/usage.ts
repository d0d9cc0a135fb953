// A wrong command line: reported before anything is looked up or done.

import { DaemonError, type OptionError } from './library.js'
import { START_OPTIONS } from './option-table.js'

/** The command line is wrong: exit code 2. */
export class UsageError extends DaemonError {
  override readonly name = 'UsageError'

  /** The verb whose --help the message refers to. */
  readonly command: string | undefined

  constructor(message: string, command?: string) {
    super(message, 'ERR_DAEMON_USAGE', 2)
    this.command = command
  }
}

/** Rewords the library's message for the command line: it names its own option `startTimeout`, which is --start-timeout. */
export function withFlagNames({ message, option }: OptionError): string {
  const [first = '', ...rest] = option.replace(/^monitor\./, '').split('.')
  const spelled = START_OPTIONS.find(({ api }) => api === first || api === `monitor.${first}`)
  const flag = `--${spelled?.name ?? first}${rest.length > 0 ? ` ${rest.join('.')}` : ''}`
  return message
    .replaceAll(`the \`${option}\` option`, flag)
    .replaceAll(`The \`${option}\` option`, flag)
    .replaceAll(`\`${option}\``, flag)
}
