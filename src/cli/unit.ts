// Daemons that are units of a service manager: it starts, stops and restarts them, never this command beside it.
import { DaemonError, readLastState, readStateToExecute, type ServiceUnit, serviceUnit } from './library.js'
import type { Output } from './print.js'
import { lookAt, type Target } from './targets.js'

/** The manager's command that does this to a unit. */
export function managerCommand(verb: 'start' | 'stop' | 'restart', { manager, unit, user }: ServiceUnit): string[] {
  if (manager === 'systemd') return ['systemctl', ...(user ? ['--user'] : []), verb, unit]
  if (verb === 'stop') return ['launchctl', 'bootout', `${user ? `gui/${process.getuid?.()}` : 'system'}/${unit}`]
  return ['launchctl', 'kickstart', ...(verb === 'restart' ? ['-k'] : []), `system/${unit}`]
}

/** Tells what a stop of a unit needs to know: its manager may start it again. */
export function hintAtManager({ path }: Target): string {
  const service = readLastState(path)?.service
  if (!service) return ''
  return `; ${service.manager} may start it again: \`${managerCommand('stop', service).join(' ')}\` ends it for good`
}

/** Has the manager restart the daemon of a target that is a unit; false where it is none. @throws DaemonError the manager fails */
export function restartUnit(target: Target, output: Output): boolean {
  if (!readLastState(target.path)?.service) return false
  const service = readStateToExecute(target.path)?.service
  if (!service) return false
  const [command = '', ...words] = managerCommand('restart', service)
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const { status, error } = spawnSync(command, words, { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) {
    const why = error ? `: ${error.message}` : status === null ? '' : `: it exited with ${status}`
    throw new DaemonError(
      `it is ${service.unit} of ${service.manager}, and \`${[command, ...words].join(' ')}\` failed${why}`,
      'ERR_DAEMON_START',
    )
  }
  output.result(`${target.name}: restarted ${service.unit} by ${service.manager}`, {
    name: target.name,
    service,
    started: true,
  })
  return true
}

/**
 * Refuses to start beside the manager what crashed as one of its units, unless this command is that unit.
 * @throws DaemonError which command starts it
 */
export function refuseUnit({ path }: Target): void {
  const service = readLastState(path)?.service
  if (!service || !['absent', 'free'].includes(lookAt(path).state) || serviceUnit()?.unit === service.unit) return
  const command = managerCommand('start', service).join(' ')
  throw new DaemonError(
    `it is ${service.unit} of ${service.manager}: start it by \`${command}\`, ` +
      'or forget that by `daemonic status --clean`',
    'ERR_DAEMON_STATE',
  )
}
