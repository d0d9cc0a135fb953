// enable, disable: daemons as units of this host's service manager, so that they come back after a boot.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { targetsOf } from './chosen-targets.js'
import { reportFailure } from './failures.js'
import type { Invocation } from './invocation.js'
import { DaemonError, during } from './library.js'
import type { Output } from './print.js'
import { noteMissing } from './show-unit.js'
import { stopOne } from './stop-one.js'
import { lookAt, type Target } from './targets.js'
import { launchdPlist } from './units/launchd.js'
import { openrcScript } from './units/openrc.js'
import { type Service, servicesOf } from './units/service.js'
import { systemdUnits } from './units/systemd.js'
import { UsageError } from './usage.js'

/** Begins the files that `enable` wrote, and that `enable` and `disable` may therefore replace and remove. */
const MARK = 'Written by `daemonic enable`'

/** A service manager of a host: where its files lie, and what it has to be told. */
interface Manager {
  readonly name: string
  /** The files of a service, by path; without one, those that there may be. */
  files(name: string, service?: Service): Readonly<Record<string, string>>
  readonly mode: number
  enable(name: string): string[][]
  disable(name: string): string[][]
  start(name: string): string[]
  stop(name: string): string[]
  /** A word for who enables, if there is one. */
  readonly advice?: string
}

/** Carries out `enable`. */
export async function enable(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  const manager = managerHere(options.has('user'))
  if (invocation.words.length === 0 && !options.has('config'))
    throw new UsageError('Expected at least one TARGET', 'enable')
  const targets = await targetsOf(invocation)
  const services = await servicesOf(invocation)
  let exitCode = 0
  for (const [index, service] of services.entries()) {
    const target = targets[index] ?? { name: service.name, path: '' }
    try {
      noteMissing(service, output)
      for (const [path, text] of Object.entries(manager.files(service.name, service))) install(path, text, manager.mode)
      for (const command of manager.enable(service.name)) execute(command)
      output.result(`${service.name}: enabled in ${manager.name}`, { name: service.name, manager: manager.name })
      await handOver(service, target, manager, options.has('now'), output)
    } catch (error) {
      exitCode = Math.max(exitCode, reportFailure(error, target, output, options))
    }
  }
  if (manager.advice) output.note(manager.advice)
  return exitCode
}

/** Carries out `disable`. */
export async function disable(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  const manager = managerHere(options.has('user'))
  let exitCode = 0
  for (const target of await targetsOf(invocation)) {
    try {
      const files = Object.keys(manager.files(target.name)).filter(path => isOurs(path))
      if (files.length === 0) {
        output.result(`${target.name}: not enabled in ${manager.name} by daemonic`, {
          name: target.name,
          enabled: false,
        })
        continue
      }
      if (options.has('now')) execute(manager.stop(target.name))
      for (const path of files) during('remove the unit', path, () => rmSync(path))
      for (const command of manager.disable(target.name)) execute(command)
      output.result(`${target.name}: disabled in ${manager.name}`, { name: target.name, enabled: false })
    } catch (error) {
      exitCode = Math.max(exitCode, reportFailure(error, target, output, options))
    }
  }
  return exitCode
}

/** Has the manager run what runs already, with --now; else says that it goes on without it. */
async function handOver(
  service: Service,
  target: Target,
  manager: Manager,
  isNow: boolean,
  output: Output,
): Promise<void> {
  const { state, pid } = lookAt(target.path)
  const runs = state === 'running' || state === 'starting'
  if (isNow) {
    if (runs) await stopOne(target, {})
    execute(manager.start(service.name))
    output.result(`${service.name}: started by ${manager.name}`, { name: service.name, started: true })
  } else if (runs) {
    const by = manager.start(service.name).join(' ')
    output.note(
      `${service.name}: pid ${pid} runs on without ${manager.name}; \`daemonic stop ${target.name} && ${by}\` hands it over`,
    )
  }
}

/** Finds the service manager of this host. @throws DaemonError there is none that is known, or it is root's */
function managerHere(isUser: boolean): Manager {
  if (existsSync('/run/systemd/system')) {
    requireRoot(isUser)
    return systemd(isUser)
  }
  if (existsSync('/run/openrc')) {
    if (isUser) throw new UsageError('OpenRC has no services of users: leave out --user, as root')
    requireRoot(false)
    return OPENRC
  }
  if (process.platform === 'darwin') {
    requireRoot(isUser)
    return launchd(isUser)
  }
  throw new DaemonError(
    'there is no service manager here that daemonic knows (systemd, OpenRC, launchd); `daemonic unit` prints what it would write',
    'ERR_DAEMON_UNSUPPORTED',
  )
}

function requireRoot(isUser: boolean): void {
  if (isUser || process.geteuid?.() === 0) return
  throw new UsageError("Only root can enable a service of the system: use sudo, or --user for this user's own")
}

function systemd(isUser: boolean): Manager {
  const directory = isUser
    ? join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'systemd/user')
    : '/etc/systemd/system'
  const systemctl = (...words: string[]) => ['systemctl', ...(isUser ? ['--user'] : []), ...words]
  const files = (name: string, service?: Service) => {
    const units = service ? systemdUnits(service, isUser) : { [`${name}.service`]: '', [`${name}.socket`]: '' }
    return Object.fromEntries(
      Object.entries(units).map(([file, text]) => [join(directory, file), `# ${MARK}\n${text}`]),
    )
  }
  return {
    name: isUser ? "systemd, this user's" : 'systemd',
    files,
    mode: 0o644,
    enable: name => [systemctl('daemon-reload'), systemctl('--quiet', 'enable', `${name}.service`)],
    // The files are gone: what is left are links to them, which systemd finds by name.
    disable: name => [systemctl('--quiet', 'disable', `${name}.service`, `${name}.socket`), systemctl('daemon-reload')],
    start: name => systemctl('start', `${name}.service`),
    stop: name => systemctl('stop', `${name}.service`),
    ...(isUser && { advice: '`loginctl enable-linger` has this user\u2019s services start at boot, not at login' }),
  }
}

const OPENRC: Manager = {
  name: 'OpenRC',
  files: (name, service) => {
    const [first = '', ...rest] = service ? openrcScript(service).split('\n') : []
    return { [`/etc/init.d/${name}`]: [first, `# ${MARK}`, ...rest].join('\n') }
  },
  mode: 0o755,
  enable: name => [['rc-update', 'add', name, 'default']],
  disable: name => [['rc-update', 'delete', name, 'default']],
  start: name => ['rc-service', name, 'start'],
  stop: name => ['rc-service', name, 'stop'],
}

function launchd(isUser: boolean): Manager {
  const directory = isUser ? join(homedir(), 'Library/LaunchAgents') : '/Library/LaunchDaemons'
  const domain = isUser ? `gui/${process.getuid?.()}` : 'system'
  const path = (name: string) => join(directory, `${name}.plist`)
  return {
    name: 'launchd',
    files: (name, service) => ({
      [path(name)]: service ? launchdPlist(service).replace('?>\n', `?>\n<!-- ${MARK} -->\n`) : '',
    }),
    mode: 0o644,
    enable: name => [['launchctl', 'enable', `${domain}/${name}`]],
    disable: name => [['launchctl', 'disable', `${domain}/${name}`]],
    start: name => ['launchctl', 'bootstrap', domain, path(name)],
    stop: name => ['launchctl', 'bootout', `${domain}/${name}`],
  }
}

/** Writes a unit's file. @throws DaemonError somebody else's is there */
function install(path: string, text: string, mode: number): void {
  if (existsSync(path) && !isOurs(path))
    throw new DaemonError(
      `${path} is there, and not written by daemonic: move it, or give the daemon another --name`,
      'EEXIST',
    )
  during('write the unit', path, () => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text, { mode })
  })
}

function isOurs(path: string): boolean {
  try {
    return readFileSync(path, 'utf8').slice(0, 200).includes(MARK)
  } catch {
    return false
  }
}

function execute([command = '', ...words]: readonly string[]): void {
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const { status, error } = spawnSync(command, words, { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status === 0) return
  const why = error?.message ?? `it exited with ${status}`
  throw new DaemonError(`\`${[command, ...words].join(' ')}\` failed: ${why}`, 'ERR_DAEMON_START')
}
