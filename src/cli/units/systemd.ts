// Units of systemd: a service, hardened, and a socket unit where the daemon listens.
import type { Service } from './service.js'

/** A file by its name. */
export type UnitFiles = Readonly<Record<string, string>>

/** Seconds beyond stopTimeout for what kills the daemon's processes. */
const KILLING = 5
/** Seconds within which the event loop has to turn. */
const WATCHDOG = 30
/** The highest port that needs a right. */
const LAST_LOW_PORT = 1023

/** Directives that take from a service what a Node program needs not. MemoryDenyWriteExecute= is not among them: V8 compiles. */
const HARDENING = [
  'NoNewPrivileges=yes',
  'ProtectSystem=strict',
  'ProtectHome=read-only',
  'PrivateDevices=yes',
  'ProtectClock=yes',
  'ProtectControlGroups=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelTunables=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  // V8 protects its code by keys of memory, which are in no larger group. What else is unknown fails, and kills nobody.
  'SystemCallFilter=@system-service @pkey',
  'SystemCallErrorNumber=EPERM',
  'LimitCORE=0',
]

/** Makes the units of a service; `isUser`: for the user's own manager, which can take no rights away. */
export function systemdUnits(service: Service, isUser: boolean): UnitFiles {
  const { name, sockets } = service
  const files = { [`${name}.service`]: serviceUnit(service, isUser) }
  return sockets.length === 0 ? files : { ...files, [`${name}.socket`]: socketUnit(service) }
}

function serviceUnit(service: Service, isUser: boolean): string {
  const { name, command, directory, stopTimeout, sockets } = service
  const hasSockets = sockets.length > 0
  return lines([
    '[Unit]',
    `Description=${name}`,
    'After=network.target',
    ...(hasSockets ? [`Requires=${name}.socket`, `After=${name}.socket`] : []),
    '',
    '[Service]',
    'Type=notify',
    `ExecStart=${command.map(word => quoted(word, true)).join(' ')}`,
    'ExecReload=/bin/kill -HUP $MAINPID',
    `WorkingDirectory=${escaped(directory)}`,
    ...environment(service),
    'Restart=on-failure',
    `WatchdogSec=${WATCHDOG}`,
    `TimeoutStopSec=${Math.ceil(stopTimeout / 1000) + KILLING}`,
    'KillMode=mixed',
    ...(isUser ? ['NoNewPrivileges=yes', 'LimitCORE=0'] : ['', ...identity(service), ...places(service), ...HARDENING]),
    '',
    '[Install]',
    `WantedBy=${isUser ? 'default' : 'multi-user'}.target`,
    ...(hasSockets ? [`Also=${name}.socket`] : []),
  ])
}

function socketUnit({ name, sockets, user }: Service): string {
  return lines([
    '[Unit]',
    `Description=${name}`,
    '',
    '[Socket]',
    ...sockets.map(({ address, udp }) => `Listen${udp ? 'Datagram' : 'Stream'}=${escaped(address)}`),
    ...(user !== null && sockets.some(({ address }) => address.startsWith('/')) ? [`SocketUser=${user}`] : []),
    '',
    '[Install]',
    'WantedBy=sockets.target',
  ])
}

function environment({ environment, environmentFiles }: Service): string[] {
  const variables = Object.entries(environment).map(([key, value]) => `Environment=${quoted(`${key}=${value}`)}`)
  return [...variables, ...environmentFiles.map(file => `EnvironmentFile=${escaped(file)}`)]
}

/** The user, with the one right that a low port needs; without a user the program may still give up root's by itself. */
function identity({ user, group, sockets }: Service): string[] {
  if (user === null) return []
  const isLow = sockets.some(({ address }) => Number(/(\d+)$/.exec(address)?.[1] ?? Number.NaN) <= LAST_LOW_PORT)
  const right = isLow ? 'CAP_NET_BIND_SERVICE' : ''
  return [
    `User=${user}`,
    ...(group === null ? [] : [`Group=${group}`]),
    `CapabilityBoundingSet=${right}`,
    ...(isLow ? [`AmbientCapabilities=${right}`] : []),
  ]
}

/** What stays writable. Root's run directory is shared by all daemons, so that none of them takes it along. */
function places({ name, command, user, writes }: Service): string[] {
  const shared =
    user === null ? ['RuntimeDirectory=daemonic', 'RuntimeDirectoryPreserve=yes'] : [`RuntimeDirectory=${name}`]
  // A program that lies in a temporary directory itself would not be found in another one.
  const isThere = [...command, ...writes].some(path => /^\/(var\/)?tmp\//.test(path))
  const temporary = isThere ? [] : ['PrivateTmp=yes']
  return [...shared, `StateDirectory=${name}`, ...temporary, ...writes.map(path => `ReadWritePaths=-${escaped(path)}`)]
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`
}

/** A word of a list, as systemd.syntax(7) has it. In a command `$` begins a variable. */
function quoted(word: string, isCommand = false): string {
  const text = escaped(word.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\n'))
  return `"${isCommand ? text.replaceAll('$', '$$$$') : text}"`
}

/** `%` begins a specifier. */
function escaped(text: string): string {
  return text.replaceAll('%', '%%')
}
