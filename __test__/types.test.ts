// The types of the public surface: what compiles, and what must not. The compiler is the judge; no body is run.
import type { Server, Socket } from 'node:net'
import test from 'ava'
import {
  AlreadyRunningError,
  command,
  connect,
  type Daemon,
  DaemonError,
  type DaemonizeOptions,
  type DetachContext,
  daemonize,
  defineConfig,
  detachContext,
  type Launched,
  type LaunchOptions,
  type ListenMap,
  type ListenSocket,
  launch,
  OptionError,
  PidLock,
  processInfo,
  StartError,
  SystemCallError,
  signal,
  status,
  stop,
  type WorkerStatus,
} from 'daemonic'
import { expectTypeOf } from 'expect-type'

/** The build fails where the body has a type that is not expected; so does an expected error that is none. */
function compiles(title: string, body: () => unknown): void {
  test(title, t => t.is(typeof body, 'function'))
}

declare const server: Server

// ── daemonize() ──────────────────────────────────────────────────────────────────────────

compiles('the sockets of a daemon have the keys of `listen`, and no others', () => {
  const daemon = daemonize({ listen: { web: '127.0.0.1:0', admin: { path: true } } })
  expectTypeOf(daemon).toEqualTypeOf<Daemon<{ readonly web: '127.0.0.1:0'; readonly admin: { readonly path: true } }>>()
  expectTypeOf<keyof typeof daemon.sockets>().toEqualTypeOf<'web' | 'admin'>()
  expectTypeOf(daemon.sockets.web).toEqualTypeOf<ListenSocket>()
  // @ts-expect-error: no socket of that name is listened on
  daemon.sockets.wbe
  // @ts-expect-error: a socket can't be exchanged
  daemon.sockets.web = { fd: 3, address: '' }
})

compiles('serve() takes the name of one of them', () => {
  const daemon = daemonize({ listen: { web: 0 } })
  expectTypeOf(daemon.serve(server, 'web')).toEqualTypeOf<Promise<void>>()
  expectTypeOf(daemon.serve).parameter(1).toEqualTypeOf<'web'>()
  // @ts-expect-error: no socket of that name is listened on
  daemon.serve(server, 'wbe')
  // @ts-expect-error: a server alone does not say where
  daemon.serve(server)
})

compiles('a daemon that listens nowhere has no sockets', () => {
  expectTypeOf<keyof ReturnType<typeof daemonize>['sockets']>().toEqualTypeOf<string>()
  for (const daemon of [daemonize(), daemonize({ name: 'd' })]) {
    expectTypeOf<keyof typeof daemon.sockets>().toEqualTypeOf<never>()
    // @ts-expect-error: no socket is listened on
    daemon.serve(server, 'web')
  }
})

compiles('names that are known at run time alone give sockets that are known there alone', () => {
  const daemon = daemonize({ listen: {} as ListenMap })
  expectTypeOf(daemon.sockets).toEqualTypeOf<{ readonly [name: string]: ListenSocket }>()
  expectTypeOf(daemon).toExtend<Daemon>()
  // With noUncheckedIndexedAccess each may be missing.
  expectTypeOf(daemon.sockets.web).toEqualTypeOf<ListenSocket | undefined>()
})

compiles('every option may be undefined: not given', () => {
  const none: { [K in keyof DaemonizeOptions]-?: undefined } = {} as never
  expectTypeOf(none).toExtend<DaemonizeOptions>()
  const noneOfLaunch: { [K in keyof LaunchOptions]-?: undefined } = {} as never
  expectTypeOf(noneOfLaunch).toExtend<LaunchOptions>()
})

compiles('no option is required, and none may be null', () => {
  expectTypeOf<Record<never, never>>().toExtend<DaemonizeOptions>()
  expectTypeOf<
    { [K in keyof DaemonizeOptions]: null extends DaemonizeOptions[K] ? K : never }[keyof DaemonizeOptions]
  >()
    // What is not null is never; what is optional adds undefined.
    .exclude<undefined>()
    .toBeNever()
})

compiles('values of every kind that an option takes', () => {
  const options = [
    { detach: 'auto' },
    { detach: true },
    { chdir: false, umask: 0o077 },
    { umask: false },
    { user: 'nobody', group: 1, groups: ['daemon', 2] },
    { stdin: 'ignore', log: true, stdout: { path: './out', mode: 0o600, truncate: true }, stderr: { fd: 9 } },
    { stdin: 9, log: 'inherit-unless-tty', preserve: [9, { fd: 8 }, null, undefined] },
    {
      listen: { port: 80, host: '127.0.0.1:80', unix: { path: './d.sock', mode: 0o600 }, udp: { port: 1, udp: true } },
    },
    { limits: { nofile: 100, core: 'unlimited', nproc: { soft: 1, hard: 'unlimited' } } },
    { nice: -5, oomScoreAdjust: 500, noNewPrivileges: true, env: { ADDED: 'x', REMOVED: undefined } },
    { pidFile: true },
    { pidFile: { path: './d.pid', mode: 0o600, overwrite: true }, ready: 'manual' },
    { signals: { SIGHUP: 'reload', SIGTERM: 'stop', SIGUSR2: name => name.toLowerCase() } },
    { monitor: true, workers: 'cpus', startTimeout: 1, stopTimeout: 1, idleTimeout: 1 },
    { monitor: { maxMemory: '300M', settle: '0.5s' }, stopTimeout: '30s', idleTimeout: '1h' },
    { monitor: { restart: 'always', maxDelay: 1, maxFailures: 3, watchdog: 1, maxMemory: 1, killTree: true } },
  ] as const satisfies readonly DaemonizeOptions[]
  return options
})

compiles('what an option does not take', () => {
  // @ts-expect-error: an option of another name
  daemonize({ pidfile: true })
  // @ts-expect-error: launch() has it
  daemonize({ args: [] })
  // @ts-expect-error: another word
  daemonize({ detach: 'atuo' })
  // @ts-expect-error: a time without its unit
  daemonize({ stopTimeout: '30' })
  // @ts-expect-error: digits instead of a number
  daemonize({ umask: '022' })
  // @ts-expect-error: daemonize() alone can't tell
  daemonize({ ready: 'port' })
  // @ts-expect-error: a resource of another name
  daemonize({ limits: { nofiles: 1 } })
  // @ts-expect-error: a soft limit without the hard one
  daemonize({ limits: { nofile: { soft: 1 } } })
  // @ts-expect-error: no signal
  daemonize({ signals: { SIGTREM: 'stop' } })
  // @ts-expect-error: no action
  daemonize({ signals: { SIGTERM: 'stopp' } })
  // @ts-expect-error: `false` is no target; 'ignore' is
  daemonize({ log: false })
  // @ts-expect-error: `true` names the default log; a single output has none
  daemonize({ stdout: true })
  // @ts-expect-error: a socket is no list
  daemonize({ listen: { web: ['127.0.0.1', 80] } })
  // @ts-expect-error: an environment holds strings
  daemonize({ env: { PORT: 80 } })
  // @ts-expect-error: a restart policy of another name
  daemonize({ monitor: { restart: 'on-success' } })
})

compiles('hooks, and what the daemon itself tells', () => {
  const daemon = daemonize()
  daemon.onStop(name => expectTypeOf(name).toEqualTypeOf<NodeJS.Signals | null>())
  daemon.onReload(async () => {})
  expectTypeOf(daemon.pidFile).toEqualTypeOf<PidLock | null>()
  expectTypeOf(daemon.stopping).toEqualTypeOf<AbortSignal>()
  expectTypeOf(daemon.busy()).toEqualTypeOf<Disposable>()
  expectTypeOf(daemon.stop()).toEqualTypeOf<Promise<never>>()
  expectTypeOf(daemon.reopenLogs({ all: true })).toBeNumber()
  expectTypeOf(daemon.setStatus('serving')).toBeVoid()
  // @ts-expect-error: who it is does not change
  daemon.pid = 1
})

// ── launch() ─────────────────────────────────────────────────────────────────────────────

compiles('addresses have the keys of `listen`', async () => {
  const launched = await launch('./server.js', { listen: { web: 0, admin: './admin.sock' } })
  expectTypeOf<keyof typeof launched.addresses>().toEqualTypeOf<'web' | 'admin'>()
  expectTypeOf(launched.addresses.web).toBeString()
  expectTypeOf(launched).toExtend<Launched>()
  // @ts-expect-error: no socket of that name is listened on
  launched.addresses.wbe
  const plain = await launch('./server.js')
  expectTypeOf<keyof typeof plain.addresses>().toEqualTypeOf<never>()
})

compiles('a target is a path, but null without a pid file', async () => {
  const kept = await launch('./server.js', { pidFile: './d.pid' })
  expectTypeOf([kept.target, kept.pidFile]).items.toEqualTypeOf<string>()
  expectTypeOf((await launch('./server.js')).target).toEqualTypeOf<string>()
  const lost = await launch('./server.js', { pidFile: false })
  expectTypeOf([lost.target, lost.pidFile]).items.toEqualTypeOf<null>()
  // @ts-expect-error: nothing finds it again
  stop(lost.target)
})

compiles('what only launch() takes, and what only the program itself can decide', () => {
  launch('python3', { interpreter: null, args: ['-m', 'http.server'], ready: 'port', listen: { http: 8000 } })
  launch('./server', {
    interpreter: '/bin/sh',
    interpreterArgs: ['-e'],
    ready: 'fd=3',
    ifRunning: 'reuse',
    version: '2',
  })
  // @ts-expect-error: a launched program is always detached
  launch('./server.js', { detach: true })
  // @ts-expect-error: signals are the program's own
  launch('./server.js', { signals: {} })
  // @ts-expect-error: a descriptor has a number
  launch('./server.js', { ready: 'fd=three' })
  // @ts-expect-error: another word
  launch('./server.js', { ifRunning: 'maybe' })
  // @ts-expect-error: arguments are strings
  launch('./server.js', { args: [1] })
  // @ts-expect-error: what is to be launched
  launch()
})

// ── command() and defineConfig() ─────────────────────────────────────────────────────────

compiles('command() hands the daemon with its sockets to the program', () => {
  command({ name: 'app', listen: { web: 0 } }, daemon => {
    expectTypeOf<keyof typeof daemon.sockets>().toEqualTypeOf<'web'>()
    // @ts-expect-error: no socket of that name is listened on
    daemon.sockets.wbe
  })
  // @ts-expect-error: the program is a function
  command({ name: 'app' })
})

compiles('a configuration runs scripts and programs, with options of launch()', () => {
  defineConfig({ daemons: { web: { script: 'server.js', workers: 2 }, proxy: { program: 'nginx', log: './n.log' } } })
  // @ts-expect-error: an option of another name
  defineConfig({ daemons: { web: { script: 'server.js', wrokers: 2 } } })
  // @ts-expect-error: daemons are named
  defineConfig({ daemons: [{ script: 'server.js' }] })
})

// ── Pid files, and daemons seen from outside ─────────────────────────────────────────────

compiles('a lock is disposable, and comes from acquire() or wait() alone', async () => {
  using lock = PidLock.acquire('./d.pid', { mode: 0o600 })
  expectTypeOf(lock).toEqualTypeOf<PidLock>()
  expectTypeOf(
    PidLock.wait('./d.pid', { timeout: 1, signal: AbortSignal.timeout(1) }),
  ).resolves.toEqualTypeOf<PidLock>()
  expectTypeOf(PidLock.inspect('./d.pid').pid).toEqualTypeOf<number | null>()
  // @ts-expect-error: the constructor is private
  new PidLock()
  // @ts-expect-error: acquire() does not wait
  PidLock.acquire('./d.pid', { timeout: 1 })
})

compiles('stop(), signal(), status() and connect()', async () => {
  expectTypeOf(await stop('d', { timeout: 1, signal: 'SIGINT', force: false })).toExtend<{
    readonly pid: number | null
    readonly wasRunning: boolean
    readonly forced: boolean
  }>()
  expectTypeOf(signal('d', 'SIGHUP')).resolves.toBeVoid()
  // @ts-expect-error: a signal's whole name
  signal('d', 'HUP')
  const { workers, addresses } = await status('d')
  expectTypeOf(workers).items.toEqualTypeOf<WorkerStatus>()
  expectTypeOf(addresses.web).toEqualTypeOf<string | undefined>()
  expectTypeOf(connect('d', 'web')).resolves.toEqualTypeOf<Socket>()
  // @ts-expect-error: the name of the socket
  connect('d')
  expectTypeOf(processInfo).parameter(0).toEqualTypeOf<number | undefined>()
  expectTypeOf(detachContext).parameters.toEqualTypeOf<[]>()
  expectTypeOf(detachContext()).toEqualTypeOf<DetachContext | null>()
})

// ── Errors ───────────────────────────────────────────────────────────────────────────────

compiles('errors are one family, and tell what went wrong by fields', (error: unknown = new Error()) => {
  if (error instanceof DaemonError) expectTypeOf(error.exitCode).toBeNumber()
  if (error instanceof AlreadyRunningError) expectTypeOf(error.pid).toEqualTypeOf<number | null>()
  if (error instanceof StartError) expectTypeOf(error.signal).toEqualTypeOf<NodeJS.Signals | null>()
  if (error instanceof OptionError) expectTypeOf(error.option).toBeString()
  for (const kind of [AlreadyRunningError, OptionError, StartError, SystemCallError])
    expectTypeOf<InstanceType<typeof kind>>().toExtend<DaemonError>()
})
