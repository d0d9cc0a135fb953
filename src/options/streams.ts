// Standard streams: the `stdin`, `log`, `stdout` and `stderr` options.
import { fstatSync } from 'node:fs'
import { resolve } from 'node:path'
import type { StreamPlan } from '#native'
import { native } from '../binding/addon.js'
import { OptionError } from '../errors/classes.js'
import type { DaemonizeOptions } from '../option-types.js'
import { logFilePath, logPath } from '../running/paths.js'
import { OPTIONS } from './table.js'
import { expected, list, mode, oneOf, or, refuseUnknown, show, suggestion, text } from './values.js'

/** The plans of the three standard streams. */
export interface Streams {
  stdin: StreamPlan
  stdout: StreamPlan
  stderr: StreamPlan
}

/** The mode of a log that a start creates. */
const LOG_MODE = 0o640
const INPUT_WORDS = ['ignore', 'inherit'] as const
const OUTPUT_WORDS = [...INPUT_WORDS, 'inherit-unless-tty'] as const

/** Validates the options of the standard streams; `fileName` is what the daemon's files are called. @throws OptionError */
export function normaliseStreams(
  { stdin, log, stdout, stderr }: Pick<DaemonizeOptions, 'stdin' | 'log' | 'stdout' | 'stderr'>,
  fileName: string,
): Streams {
  const output = (key: 'stdout' | 'stderr', value: unknown, fd: number): StreamPlan => {
    const both = outputPlan('log', or(log, OPTIONS.log.default), fd, fileName)
    return value === undefined ? both : outputPlan(key, value, fd, fileName)
  }
  return {
    stdin: inputPlan(or(stdin, OPTIONS.stdin.default)),
    stdout: output('stdout', stdout, 1),
    stderr: output('stderr', stderr, 2),
  }
}

/** Plans for the daemon's own process, whose streams the launcher has set up: what it was given for them may be gone. */
export function streamsAlreadySet(): Streams {
  return { stdin: { kind: 'null' }, stdout: { kind: 'null' }, stderr: { kind: 'null' } }
}

function inputPlan(value: unknown): StreamPlan {
  if (value === 'ignore') return { kind: 'null' }
  if (value === 'inherit') return { kind: 'inherit' }
  if (typeof value === 'number') return descriptorPlan('stdin', value, 'read')
  if (typeof value === 'object' && value !== null && 'fd' in value) return descriptorPlan('stdin', value.fd, 'read')
  return { kind: 'file', path: resolve(filePath('stdin', value, INPUT_WORDS)) }
}

function outputPlan(option: 'log' | 'stdout' | 'stderr', value: unknown, fd: number, fileName: string): StreamPlan {
  if (value === 'ignore') return { kind: 'null' }
  if (value === 'inherit') return { kind: 'inherit' }
  if (value === 'inherit-unless-tty')
    return process.getBuiltinModule('node:tty').isatty(fd) ? { kind: 'null' } : { kind: 'inherit' }
  if (value === true && option === 'log') return { kind: 'file', path: logPath(fileName), mode: LOG_MODE }
  if (typeof value === 'number') return descriptorPlan(option, value, 'write')
  if (typeof value === 'object' && value !== null) return outputObjectPlan(option, value)
  return { kind: 'file', path: resolve(logFilePath(filePath(option, value, OUTPUT_WORDS))), mode: LOG_MODE }
}

/** The plan of `{ fd }` or `{ path, mode, truncate }`. */
function outputObjectPlan(
  option: string,
  target: { fd?: unknown; path?: unknown; mode?: unknown; truncate?: unknown },
) {
  if ('fd' in target) {
    refuseUnknown(option, Object.keys(target), ['fd'])
    return descriptorPlan(option, target.fd, 'write')
  }
  refuseUnknown(option, Object.keys(target), ['path', 'mode', 'truncate'])
  return {
    kind: 'file' as const,
    path: resolve(logFilePath(text(`${option}.path`, target.path, 'a path'))),
    mode: mode(`${option}.mode`, or(target.mode, LOG_MODE), 0o7777),
    truncate: oneOf(`${option}.truncate`, or(target.truncate, false), [true, false]),
  }
}

/** A path. One without slash and dot is refused: it is more likely a misspelt word than a file. */
function filePath(option: string, value: unknown, words: readonly string[]): string {
  const path = text(option, value, `a path, a descriptor or one of ${list(words)}`)
  if (!/[/.]/.test(path)) {
    throw new OptionError(
      option,
      `Expected the \`${option}\` option to be ${list(words)} or a path, got ${show(path)}${suggestion(path, words)} ` +
        `(a file of that name is './${path}')`,
    )
  }
  return path
}

function descriptorPlan(option: string, fd: unknown, access: 'read' | 'write'): StreamPlan {
  if (typeof fd !== 'number') throw expected(option, 'a descriptor', fd)
  const allowed = Number.isInteger(fd) && fd >= 0 && fd < 2 ** 31 ? native.descriptorAccess(fd) : null
  const refuse = (why: string) => new OptionError(option, `The \`${option}\` option names descriptor ${fd}, ${why}`)
  if (allowed === null) throw refuse('which is not open')
  if (allowed !== 'both' && allowed !== access) throw refuse(`which is open to ${allowed} only`)
  if (fstatSync(fd).isDirectory()) throw refuse('a directory')
  return { kind: 'descriptor', fd }
}
