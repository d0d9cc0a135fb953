// Completion scripts for shells, written from the tables of commands and options.
import { COMMANDS, type CommandDefinition, SHELLS } from './commands.js'
import type { OptionDefinition } from './option-table.js'

/** Writes the completion script of a shell. */
export function completionScript(shell: (typeof SHELLS)[number]): string {
  return { bash, zsh, fish }[shell]()
}

const TARGETS = 'daemonic completion targets 2>/dev/null'

function bash(): string {
  const commands = COMMANDS.map(
    command => `    ${command.name})
      options='${command.options.flatMap(flagsOf).join(' ')}'
      case "$previous" in
${command.options.flatMap(bashValue).join('\n')}
        *) ;;
      esac
      ${bashWords(command)} ;;`,
  )
  return `# bash completion for daemonic: source <(daemonic completion bash)
_daemonic() {
  local word="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}" options words=''
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W '${COMMANDS.map(({ name }) => name).join(' ')}' -- "$word")
    return
  fi
  case "$command" in
${commands.join('\n')}
    *) return ;;
  esac
  if [[ "$word" == -* ]]; then words="$options"; fi
  if [ -n "$words" ]; then mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"); fi
}
complete -o default -F _daemonic daemonic
`
}

function bashWords({ completes }: CommandDefinition): string {
  switch (completes) {
    case 'targets':
      return `words="$(${TARGETS})"`
    case 'commands':
      return `words='${COMMANDS.map(({ name }) => name).join(' ')}'`
    case 'shells':
      return `words='${SHELLS.join(' ')}'`
    default:
      return ':'
  }
}

function bashValue(option: OptionDefinition): string[] {
  const values = valuesOf(option)
  if (values.length === 0) return []
  const reply = `mapfile -t COMPREPLY < <(compgen -W '${values.join(' ')}' -- "$word")`
  return [`        ${flagsOf(option).join('|')}) ${reply}; return ;;`]
}

function zsh(): string {
  const commands = COMMANDS.map(
    command => `    ${command.name})
      _arguments -s ${[...command.options.flatMap(zshOption), zshWords(command)].map(each => `\\\n        ${each}`).join(' ')}
      ;;`,
  )
  return `#compdef daemonic
# zsh completion for daemonic: source <(daemonic completion zsh)
_daemonic_targets() {
  local -a targets
  targets=(\${(f)"$(${TARGETS})"})
  compadd -a targets
}
_daemonic() {
  local -a commands
  commands=(
${COMMANDS.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=\${words[2]}
  shift words
  (( CURRENT-- ))
  case $command in
${commands.join('\n')}
  esac
}
if [ "$funcstack[1]" = _daemonic ]; then _daemonic "$@"; else compdef _daemonic daemonic; fi
`
}

function zshOption(option: OptionDefinition): string[] {
  const description = `[${option.help.replaceAll(/[[\]:]/g, '\\$&')}]`
  const values = valuesOf(option)
  const action = values.length > 0 ? `(${values.join(' ')})` : option.kind === 'path' ? '_files' : ''
  const value = option.kind === undefined ? '' : `:${(option.value ?? '').replaceAll(/[[\]:]/g, '\\$&')}:${action}`
  const repeated = option.repeatable ? '*' : ''
  return flagsOf(option).map(flag => quoted(`${repeated}${flag}${description}${value}`))
}

function zshWords({ completes }: CommandDefinition): string {
  switch (completes) {
    case 'targets':
      return "'*:target:_daemonic_targets'"
    case 'files':
      return "'*:file:_files'"
    case 'commands':
      return quoted(`*:command:(${COMMANDS.map(({ name }) => name).join(' ')})`)
    case 'shells':
      return quoted(`*:shell:(${SHELLS.join(' ')})`)
    default:
      return ''
  }
}

function fish(): string {
  const lines = COMMANDS.flatMap(command => {
    const seen = `-n ${quoted(`__fish_seen_subcommand_from ${command.name}`)}`
    return [
      `complete -c daemonic -f -n __fish_use_subcommand -a ${command.name} -d ${quoted(command.summary)}`,
      ...command.options.map(option => `complete -c daemonic ${seen} ${fishOption(option)}`),
      ...fishWords(command).map(words => `complete -c daemonic ${seen} ${words}`),
    ]
  })
  return `# fish completion for daemonic: daemonic completion fish | source\n${lines.join('\n')}\n`
}

function fishOption(option: OptionDefinition): string {
  const { name, short, kind, help } = option
  const values = valuesOf(option)
  const value = values.length > 0 ? ` -x -a ${quoted(values.join(' '))}` : kind === 'path' ? ' -r' : kind ? ' -x' : ''
  return `-l ${name}${short ? ` -s ${short}` : ''}${value} -d ${quoted(help)}`
}

function fishWords({ completes }: CommandDefinition): string[] {
  switch (completes) {
    case 'targets':
      return [`-f -a ${quoted(`(${TARGETS})`)}`]
    case 'files':
      return ['-F']
    case 'commands':
      return [`-f -a ${quoted(COMMANDS.map(({ name }) => name).join(' '))}`]
    case 'shells':
      return [`-f -a ${quoted(SHELLS.join(' '))}`]
    default:
      return []
  }
}

function flagsOf({ name, short }: OptionDefinition): string[] {
  return [`--${name}`, ...(short ? [`-${short}`] : [])]
}

function valuesOf({ kind, choices = [] }: OptionDefinition): readonly string[] {
  if (kind === 'signal') return ['TERM', 'INT', 'QUIT', 'HUP', 'USR1', 'USR2', 'KILL']
  if (kind === 'ready') return ['auto', 'loaded', 'manual', 'port']
  return choices
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
