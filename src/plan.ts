// What the core starts, made of the settings and the program.
import type { Plan, StreamPlan } from '#native'
import type { Note } from './arrival.js'
import type { Log } from './logs.js'
import type { Settings } from './options.js'
import type { Program } from './program.js'
import { stateFiles } from './state.js'
import { supervisorPlan } from './supervisor.js'

export function planOf(settings: Settings, program: Program): Plan {
  const { name, pidFile, stdin, stdout, stderr, listen, limits, environment, preserve } = settings
  const { nice, oomScoreAdjust, noNewPrivileges } = settings
  const { user = process.geteuid?.(), group = process.getegid?.() } = settings.identity.change
  const isOther = user !== process.geteuid?.() || group !== process.getegid?.()
  const note: Note = { name, pidFile: pidFile?.path ?? null, logs: logsOf(settings) }
  const owner = isOther && user !== undefined && group !== undefined ? { user, group } : undefined
  return {
    program: program.path,
    arguments: program.arguments,
    directory: program.directory,
    environment,
    note: JSON.stringify(note),
    ...(pidFile && { pidFile: { ...pidFile, companions: stateFiles(pidFile.path) } }),
    stdin,
    stdout,
    stderr,
    listen,
    limits,
    preserve,
    ...(owner && { owner }),
    ...(nice !== undefined && { nice }),
    ...(oomScoreAdjust !== undefined && { oomScoreAdjust }),
    noNewPrivileges,
    ...(settings.supervision && {
      supervisor: supervisorPlan(settings, settings.supervision, program, note, owner),
    }),
  }
}

export function logsOf({ stdout, stderr }: Settings): Log[] {
  const log = (fd: number, { path, mode = 0 }: StreamPlan) => (path === undefined ? [] : [{ fd, path, mode }])
  return [...log(1, stdout), ...log(2, stderr)]
}
