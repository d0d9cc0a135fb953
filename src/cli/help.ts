// Help, laid out by commander from the tables of commands and options.
import { styleText } from 'node:util'
import { Command, Option } from 'commander'
import { COMMANDS, type CommandDefinition } from './commands.js'
import { GROUPS, type OptionDefinition } from './option-table.js'

/** What RUNDIR, STATEDIR and NAME in the defaults stand for where help is shown. */
export interface Places {
  pidFile: string
  log: string
  name: string
}

/** How wide help and tables may be, and whether they have colours. */
export interface Look {
  width: number
  hasColors: boolean
}

const CLOSING = `
\`daemonic COMMAND --help\` tells the options of one. Durations take ms, s, m; sizes K, M, G.
`

/** The longest line that is easy to read, in columns. */
const WIDEST = 100

/** Lays out the help of `command`, or the overview of all commands. */
export function helpText(command: CommandDefinition | undefined, places: Places, { width, hasColors }: Look): string {
  const help = command ? commandHelp(command, places) : overview()
  const style = (format: 'bold' | 'cyan') => (text: string) => styleText(format, text, { validateStream: false })
  help.configureHelp({
    helpWidth: Math.min(width, WIDEST),
    minWidthToWrap: 10,
    ...(hasColors && { styleTitle: style('bold'), styleOptionTerm: style('cyan'), styleSubcommandTerm: style('cyan') }),
  })
  help.configureOutput({ getOutHasColors: () => hasColors })
  return command ? help.helpInformation() : `${help.helpInformation()}${CLOSING}`
}

function overview(): Command {
  const program = new Command('daemonic')
    .usage('COMMAND …')
    .description('Starts, stops and watches Unix daemons. TARGET is a name or, with a slash, a pid file.')
    .helpOption(false)
    .helpCommand(false)
  for (const { name, usage, summary } of COMMANDS) {
    program.addCommand(
      new Command(name)
        .usage(usage[0] ?? '')
        .description(summary)
        .helpOption(false),
    )
  }
  return program.configureHelp({ subcommandTerm: command => command.name() })
}

function commandHelp({ name, usage, description, options }: CommandDefinition, places: Places): Command {
  const command = new Command(`daemonic ${name}`)
    .usage(usage.join(`\n       daemonic ${name} `))
    .description(description)
    .helpOption(false)
  for (const group of GROUPS) {
    for (const option of options.filter(each => each.group === group)) {
      command.addOption(new Option(flags(option), explanation(option, places)).helpGroup(`${group}:`))
    }
  }
  return command
}

/** Spells an option: `-f, --flag <VALUE>`. */
export function flags({ name, short, value }: OptionDefinition): string {
  const long = value === undefined ? `--${name}` : `--${name} <${value}>`
  return short === undefined ? long : `-${short}, ${long}`
}

/** Explains an option, with its default as it resolves here. */
export function explanation({ help, default: otherwise }: OptionDefinition, { pidFile, log, name }: Places): string {
  if (otherwise === undefined) return help
  const resolved = otherwise
    .replace('RUNDIR/NAME.pid', pidFile)
    .replace('STATEDIR/NAME.log', log)
    .replace('SCRIPT’s base name without extension', name === 'NAME' ? '$&' : name)
  return `${help} (default: ${resolved})`
}
