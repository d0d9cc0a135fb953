// pm2's ecosystem files: each app as a daemon of ours. docs/cli.md has the table of the fields.
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, extname, join } from 'node:path'
import type { DaemonConfig } from './library.js'

/** What an app of an ecosystem file may have: as pm2 reads it, by any of its names. */
type App = Readonly<Record<string, unknown>>

/** Daemons made of the apps of an ecosystem file, by name, and what could not be taken over. */
export interface Imported {
  daemons: Record<string, DaemonConfig>
  /** Sentences for a person, each with the name of its daemon; null for the file as a whole. */
  notes: { of: string | null; text: string }[]
}

/** Tells an ecosystem file by its content: `apps`, or a list of such. */
export function isEcosystem(content: unknown): boolean {
  const isApp = (each: unknown) => typeof each === 'object' && each !== null && 'script' in each
  if (Array.isArray(content)) return content.length > 0 && content.every(isApp)
  return typeof content === 'object' && content !== null && 'apps' in content
}

/** Makes daemons of the apps; `environment` picks their `env_…`. Paths stay relative to the file's directory. */
export function importEcosystem(content: unknown, environment?: string): Imported {
  const apps = Array.isArray(content) ? content : (content as { apps: unknown }).apps
  const daemons: Record<string, DaemonConfig> = {}
  const notes: Imported['notes'] = []
  if ('deploy' in (content as object)) notes.push({ of: null, text: 'deploy: there is no deployment here' })
  const readers = (Array.isArray(apps) ? apps : [apps]).map(app => new Fields(app))
  if (environment !== undefined && !readers.some(({ keys }) => keys.includes(`env_${environment}`))) {
    notes.push({ of: null, text: `no app has \`env_${environment}\`` })
  }
  for (const reader of readers) {
    const { name } = reader
    daemons[name] = daemonOf(reader, environment)
    notes.push(...reader.notes.map(note => ({ of: name, text: `${name}: ${note}` })))
  }
  return { daemons, notes }
}

/** Fields that change nothing here, or say what is so anyway. */
const WITHOUT_EFFECT = new Set([
  ...[
    'merge_logs',
    'combine_logs',
    'ignore_watch',
    'watch_delay',
    'vizion',
    'pmx',
    'automation',
    'trace',
    'disable_trace',
  ],
  ...['version', 'append_env_to_name', 'kill_retry_time', 'force', 'windowsHide', 'autostart', 'post_update'],
])

/** Fields that can't be taken over, and what to use instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  watch: 'use `node --watch` while developing',
  cron_restart: 'use a line of crontab(5) with `daemonic restart NAME`',
  cron: 'use a line of crontab(5) with `daemonic restart NAME`',
  increment_var: 'the number of a worker is Daemon.worker',
  instance_var: 'the number of a worker is Daemon.worker',
  log_date_format: 'use `daemonic logs --follow --timestamps`, or have the program write the time',
  time: 'use `daemonic logs --follow --timestamps`, or have the program write the time',
  log_type: 'the log is what the program writes',
  namespace: 'use another `name`, or `instance`',
  filter_env: 'name the variables in `env` as undefined',
  shutdown_with_message: 'a stop is SIGTERM, or daemon.onStop()',
  wait_ready:
    'a server is ready when it listens; a program that says so itself calls daemon.ready(), not process.send()',
}

/** Reads the fields of an app one by one; those that were not read in the end are noted. */
class Fields {
  readonly #app: App
  readonly #read = new Set<string>()
  readonly notes: string[] = []

  constructor(app: App) {
    this.#app = typeof app === 'object' && app !== null ? app : {}
  }

  /** The value of the first of these names that the app has. */
  get(...names: string[]): unknown {
    for (const name of names) this.#read.add(name)
    return names.map(name => this.#app[name]).find(value => value !== undefined && value !== null)
  }

  text(...names: string[]): string | undefined {
    const value = this.get(...names)
    return value === undefined ? undefined : String(value)
  }

  get name(): string {
    const script = this.text('script', 'exec') ?? ''
    return this.text('name') ?? basename(script, extname(script))
  }

  get keys(): readonly string[] {
    return Object.keys(this.#app)
  }

  /** Notes the fields that were not read. */
  noteRest(): void {
    for (const key of this.keys) {
      const value = this.#app[key]
      const isOff = value === false || value === undefined || value === null || value === ''
      if (this.#read.has(key) || isOff || WITHOUT_EFFECT.has(key)) continue
      this.notes.push(
        `\`${key}\` is not taken over${key in INSTEAD ? `: ${INSTEAD[key]}` : ', since nothing here is like it'}`,
      )
    }
  }
}

function daemonOf(app: Fields, environment: string | undefined): DaemonConfig {
  const env = environmentOf(app, environment)
  const config = {
    ...programOf(app),
    ...given('chdir', app.text('cwd')),
    ...(Object.keys(env).length > 0 && { env }),
    ...workersOf(app, env),
    ...monitorOf(app),
    ...given('stopTimeout', time(app.get('kill_timeout'))),
    ...given('startTimeout', time(app.get('listen_timeout'))),
    ...given('log', streamOf(app, 'log_file', 'log')),
    ...given('stdout', streamOf(app, 'out_file', 'output', 'out')),
    ...given('stderr', streamOf(app, 'error_file', 'error', 'err')),
    ...given('pidFile', inDirectory(app, app.text('pid_file', 'pid'))),
    ...given('user', app.get('uid', 'user')),
    ...given('group', app.get('gid')),
    ...given('nice', app.get('nice')),
  }
  app.noteRest()
  return config as DaemonConfig
}

/** Interpreters by the extension of the script, as pm2 has them. */
const INTERPRETERS: Readonly<Record<string, string>> = {
  '.sh': 'bash',
  '.py': 'python3',
  '.rb': 'ruby',
  '.php': 'php',
  '.pl': 'perl',
}

function programOf(app: Fields): DaemonConfig {
  const script = app.text('script', 'exec') ?? ''
  const interpreter = app.text('interpreter', 'exec_interpreter')
  const interpreterArgs = words(app.get('node_args', 'interpreter_args', 'interpreterArgs', 'nodeArgs'))
  if (app.get('source_map_support') === true) interpreterArgs.push('--enable-source-maps')
  const args = words(app.get('args'))
  const path = inDirectory(app, script) ?? ''
  const isFile = existsSync(path)
  const withArgs = args.length > 0 ? { args } : {}
  if (interpreter === 'none') return { program: isFile ? path : script, ...withArgs }
  if (!isFile && /\s/.test(script)) return { program: 'sh', args: ['-c', [script, ...args].join(' ')] }
  // `npm` and its like, which are found in PATH.
  if (!isFile && !script.includes('/') && extname(script) === '') return { program: script, ...withArgs }
  const runs = interpreter ?? INTERPRETERS[extname(script)]
  return {
    script: path,
    ...withArgs,
    ...(runs !== undefined && runs !== 'node' && { interpreter: runs }),
    ...(interpreterArgs.length > 0 && { interpreterArgs }),
  }
}

function workersOf(app: Fields, env: Record<string, string>): DaemonConfig {
  const instances = app.get('instances')
  const isCluster = /^cluster/.test(app.text('exec_mode') ?? '')
  const count = instances === undefined ? 1 : instances === 'max' ? 0 : Number(instances)
  if (count === 1 && !isCluster) return {}
  const workers = count > 0 ? count : count === 0 ? 'cpus' : Math.max(1, availableParallelism() + count)
  if (!isCluster || workers === 1) return { workers }
  // The cluster module of pm2 shares every port; here those of `listen` are shared.
  const port = Number(env.PORT)
  if (Number.isInteger(port) && port > 0) return { workers, listen: { http: port } }
  app.notes.push(
    'workers share the sockets of `listen` alone: add `listen: { http: PORT }` with the port of the program',
  )
  return { workers }
}

/** Restarts as pm2 does: always, unless the app says otherwise. */
function monitorOf(app: Fields): DaemonConfig {
  const ending = app.get('stop_exit_codes')
  const codes = (Array.isArray(ending) ? ending : ending === undefined ? [] : [ending]).map(Number)
  if (codes.some(code => code !== 0)) app.notes.push('of `stop_exit_codes` only 0 is taken over')
  const isRestarted = app.get('autorestart') !== false
  const delay = time(app.get('restart_delay')) ?? time(app.get('exp_backoff_restart_delay'))
  const memory = app.get('max_memory_restart')
  const most = app.get('max_restarts')
  const monitor = {
    restart: isRestarted ? (codes.includes(0) ? 'on-failure' : 'always') : 'no',
    ...(isRestarted && Number(most) > 0 && { maxFailures: Number(most) }),
    ...given('steadyAfter', time(app.get('min_uptime'))),
    ...given('maxDelay', delay),
    ...given('maxMemory', memory),
    ...(app.get('treekill') === false && { killTree: false }),
  } as const
  const isPlain = !isRestarted && Object.keys(monitor).length === 1
  return isPlain ? {} : { monitor: monitor as DaemonConfig['monitor'] }
}

function environmentOf(app: Fields, environment: string | undefined): Record<string, string> {
  const others = app.keys.filter(key => key.startsWith('env_'))
  app.get(...others)
  const all = { ...toObject(app.get('env')), ...toObject(app.get(`env_${environment}`)) }
  const variables = Object.entries(all).filter(([, value]) => value !== undefined && value !== null)
  return Object.fromEntries(
    variables.map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
  )
}

function toObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** A log file; pm2 has its paths start in the app's directory. */
function streamOf(app: Fields, ...names: string[]): string | undefined {
  const value = app.get(...names)
  if (typeof value !== 'string') return undefined
  return /^(null|\/dev\/null)$/i.test(value) ? 'ignore' : inDirectory(app, value)
}

/** A path of the app, from the file's directory; it keeps a slash, since without one it would be a name. */
function inDirectory(app: Fields, path: string | undefined): string | undefined {
  const cwd = app.text('cwd')
  if (path === undefined || path === '') return undefined
  const joined = path.startsWith('/') || cwd === undefined ? path : join(cwd, path)
  return joined.includes('/') ? joined : `./${joined}`
}

/** A time in milliseconds, or with the unit that it has. 0 counts as none. */
function time(value: unknown): unknown {
  if (typeof value === 'number') return value > 0 ? value : undefined
  if (typeof value !== 'string' || value === '') return undefined
  return /^\d+$/.test(value) ? Number(value) || undefined : value
}

/** Splits arguments as a shell would, quotes taken off; a list stays as it is. */
function words(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(String)
  if (typeof value !== 'string') return []
  const found = value.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? []
  return found.map(word => word.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'))
}

function given<K extends string>(key: K, value: unknown): { [P in K]?: unknown } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: unknown }
}
