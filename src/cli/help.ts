// Help, laid out by commander from the tables of commands and options.
import { styleText } from 'node:util'
import { Command, Option } from 'commander'
import measure from 'fast-string-truncated-width'
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

/** The narrowest help whose options and explanations stand side by side, in columns. */
const SIDE_BY_SIDE = 70

/** Lays out the help of `command`, or the overview of all commands. */
export function helpText(command: CommandDefinition | undefined, places: Places, { width, hasColors }: Look): string {
  const help = command ? commandHelp(command, places) : overview()
  const style = (format: 'bold' | 'cyan') => (text: string) => styleText(format, text, { validateStream: false })
  help.configureHelp({
    helpWidth: Math.min(width, WIDEST),
    minWidthToWrap: 10,
    ...(width < SIDE_BY_SIDE && {
      formatItem: (term: string, _: number, text: string) => `  ${term}\n${indented(text, 6, width)}`,
    }),
    ...(hasColors && { styleTitle: style('bold'), styleOptionTerm: style('cyan'), styleSubcommandTerm: style('cyan') }),
  })
  help.configureOutput({ getOutHasColors: () => hasColors })
  const text = command ? help.helpInformation() : `${help.helpInformation()}${CLOSING}`
  const lines = text.split('\n').map(line => {
    if (measure(line).width <= width) return line
    const margin = line.length - line.trimStart().length
    return `${' '.repeat(margin)}${indented(line.trim(), margin + 2, width).trimStart()}`
  })
  return lines.join('\n')
}

/** Wraps a text to `width` columns, with a margin. A word that is too long by itself is broken. */
function indented(text: string, margin: number, width: number): string {
  const room = Math.max(1, width - margin)
  const lines: string[] = []
  let line = ''
  for (let word of text.split(/\s+/)) {
    if (line !== '' && measure(`${line} ${word}`).width > room) {
      lines.push(line)
      line = ''
    }
    for (; measure(word).width > room; word = word.slice(room)) lines.push(word.slice(0, room))
    line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map(each => ' '.repeat(margin) + each).join('\n')
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
