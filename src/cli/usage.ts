// What the user typed is wrong: said before anything is looked up or done.
import { DaemonError, type OptionError } from '../errors/classes.js'

export class UsageError extends DaemonError {
  /** The verb whose help tells more. */
  readonly command: string | undefined

  constructor(message: string, command?: string) {
    super(message, 'ERR_DAEMON_USAGE', 2)
    this.command = command
  }
}

/** The library names its own options: `startTimeout` is --start-timeout. */
export function inOurWords({ message, option }: OptionError): string {
  const [first = '', ...rest] = option.replace(/^monitor\./, '').split('.')
  const singular: Record<string, string> = { limits: 'limit' }
  const flag = `--${singular[first] ?? kebab(first)}${rest.length > 0 ? ` ${rest.join('.')}` : ''}`
  return message
    .replaceAll(`the \`${option}\` option`, flag)
    .replaceAll(`The \`${option}\` option`, flag)
    .replaceAll(`\`${option}\``, flag)
}

function kebab(option: string): string {
  return option.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}
