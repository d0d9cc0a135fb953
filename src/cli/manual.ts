// Manual pages, written from the tables of commands and options: man-pages(7), roff(7).
import { COMMANDS, type CommandDefinition, EXIT_CODES } from './commands.js'
import { GROUPS, type OptionDefinition } from './option-table.js'

/** Writes all manual pages. The keys are file names. */
export function manualPages(version: string): ReadonlyMap<string, string> {
  const pages = COMMANDS.filter(({ options }) => options.length > 1).map(
    command => [`daemonic-${command.name}.1`, commandPage(command, version)] as const,
  )
  return new Map([['daemonic.1', overview(version)], ...pages])
}

function overview(version: string): string {
  return page('daemonic', version, 'start, stop and watch Unix daemons', [
    section('SYNOPSIS', ['.B daemonic', '.I command', '.RI [ options ]', '.RI [ target ...]']),
    section('DESCRIPTION', [
      prose('Makes background processes of Node.js scripts and of any other program, and acts on those that run.'),
      '.PP',
      '.I target',
      prose('is the name of a daemon in the run directory or, with a slash, a pid file.'),
    ]),
    section(
      'COMMANDS',
      COMMANDS.flatMap(({ name, summary, options }) => [
        '.TP',
        options.length > 1 ? `.BR daemonic-${escaped(name)} (1)` : `.B ${escaped(name)}`,
        prose(summary),
      ]),
    ),
    section(
      'EXIT STATUS',
      EXIT_CODES.flatMap(([code, meaning]) => ['.TP', `.B ${escaped(code)}`, prose(meaning)]),
    ),
    section('ENVIRONMENT', [
      ...entry('DAEMONIC_RUNTIME_DIR, DAEMONIC_STATE_DIR', 'the run directory and that of logs'),
      ...entry('XDG_STATE_HOME', 'has both, for users other than root; ~/.local/state if it is not set'),
      ...entry('NO_COLOR, FORCE_COLOR', 'without, or always with colours'),
    ]),
    section('FILES', [
      ...entry(
        '/run/daemonic, $XDG_STATE_HOME/daemonic/run',
        'pid files (NAME.pid) and what else is known of a daemon (NAME.json)',
      ),
      ...entry('/var/log/daemonic, $XDG_STATE_HOME/daemonic', 'logs (NAME.log)'),
    ]),
  ])
}

function commandPage({ name, usage, summary, description, options }: CommandDefinition, version: string): string {
  return page(`daemonic-${name}`, version, summary, [
    section(
      'SYNOPSIS',
      usage.flatMap((each, index) => [...(index > 0 ? ['.br'] : []), `.B daemonic ${name}`, prose(each)]),
    ),
    section('DESCRIPTION', [prose(description)]),
    section(
      'OPTIONS',
      GROUPS.flatMap(group => {
        const members = options.filter(each => each.group === group)
        return members.length === 0 ? [] : [`.SS ${group}`, ...members.flatMap(optionEntry)]
      }),
    ),
    section('SEE ALSO', ['.BR daemonic (1)']),
  ])
}

function optionEntry({ name, short, value, help, default: otherwise }: OptionDefinition): string[] {
  const flags = [...(short ? [`\\-${short}`] : []), `\\-\\-${name.replaceAll('-', '\\-')}`].join('\\fR, \\fB')
  const text = otherwise === undefined ? help : `${help} (default: ${otherwise})`
  return ['.TP', `\\fB${flags}\\fR${value ? ` \\fI${escaped(value)}\\fR` : ''}`, prose(text)]
}

function entry(term: string, text: string): string[] {
  return ['.TP', `.B ${escaped(term)}`, prose(text)]
}

function page(name: string, version: string, summary: string, sections: readonly string[]): string {
  const title = `.TH ${name.toUpperCase()} 1 "" "daemonic ${version}"`
  return `${[title, section('NAME', [`${escaped(name)} \\- ${escaped(summary)}`]), ...sections].join('\n')}\n`
}

function section(title: string, lines: readonly string[]): string {
  return [`.SH ${title}`, ...lines].join('\n')
}

/** Escapes a line of text: roff takes a dot or an apostrophe at its beginning for a request. */
function prose(text: string): string {
  return escaped(text).replace(/^[.']/, '\\&$&')
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', '...').replaceAll('’', '\\(cq')
}
