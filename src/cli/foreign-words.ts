// The words of pm2, systemctl and supervisorctl: what each of them is here.
import { START_OPTIONS } from './option-table.js'

/** Options of pm2, and what says the same here. */
const OPTIONS: Readonly<Record<string, string>> = {
  '-i': '--workers N, or --workers cpus',
  '--instances': '--workers N, or --workers cpus',
  '-n': '--name NAME',
  '--cwd': '--chdir DIR',
  '--max-memory-restart': '--max-memory SIZE',
  '--kill-timeout': '--stop-timeout TIME',
  '--listen-timeout': '--start-timeout TIME',
  '--wait-ready': '--ready manual',
  '--only': 'the names of the daemons, behind the file',
  '--max-restarts': '--max-failures N',
  '--min-uptime': '--steady-after TIME',
  '--restart-delay': '--max-delay TIME',
  '--exp-backoff-restart-delay': '--max-delay TIME',
  '--interpreter-args': '--interpreter-arg ARG, once for each',
  '--output': '--stdout PATH',
  '--error': '--stderr PATH',
  '--pid': '--pid-file PATH',
  '--uid': '--user USER',
  '--gid': '--group GROUP',
  '--namespace': '--instance TEXT',
  '--autorestart': '--restart always',
  '--stop-exit-codes': '--restart on-failure',
  '--no-autorestart': 'nothing: that is the default',
  '--merge-logs': 'nothing: workers share the logs',
  '--update-env': 'nothing: `daemonic restart` takes the environment of its call',
  '--time': '`daemonic logs --follow --timestamps`',
  '--log-date-format': '`daemonic logs --follow --timestamps`',
  '--no-daemon': '`daemonic run`',
  '--watch': '`node --watch` while developing: no daemon watches files',
  '--ignore-watch': '`node --watch` while developing: no daemon watches files',
  '--cron': 'a line of crontab(5) with `daemonic restart NAME`',
  '--cron-restart': 'a line of crontab(5) with `daemonic restart NAME`',
}

const AT_BOOT = '`daemonic enable NAME`, which has it run after a boot'

/** Commands of the others, and what does the same here. */
const COMMANDS: Readonly<Record<string, string>> = {
  list: '`daemonic status`',
  ls: '`daemonic status`',
  ps: '`daemonic status`',
  l: '`daemonic status`',
  'list-units': '`daemonic status`',
  avail: '`daemonic status`',
  show: '`daemonic status NAME`',
  describe: '`daemonic status NAME`',
  info: '`daemonic status NAME`',
  pid: '`daemonic status --json NAME`',
  prettylist: '`daemonic status --json`',
  jlist: '`daemonic status --json`',
  'is-active': '`daemonic status NAME`, whose exit code tells',
  'is-failed': '`daemonic status NAME`, whose exit code tells',
  monit: '`daemonic status --watch`',
  monitor: '`daemonic status --watch`',
  dashboard: '`daemonic status --watch`',
  top: '`daemonic status --watch`',
  delete: '`daemonic stop NAME`: what was stopped is kept in no list',
  del: '`daemonic stop NAME`: what was stopped is kept in no list',
  remove: '`daemonic stop NAME`: what was stopped is kept in no list',
  shutdown: '`daemonic stop --all`',
  kill: '`daemonic stop --all`, or `daemonic signal NAME KILL`',
  clear: '`daemonic status --clean`',
  reset: '`daemonic restart NAME`, which counts from 0',
  'reset-failed': '`daemonic status --clean`',
  tail: '`daemonic logs --follow NAME`',
  maintail: '`daemonic logs --follow`',
  log: '`daemonic logs`',
  journal: '`daemonic logs`',
  flush: '`: > FILE` of a log, or logrotate(8) with `daemonic reopen --all`',
  reloadLogs: '`daemonic reopen --all`',
  sendSignal: '`daemonic signal NAME SIGNAL`',
  fg: '`daemonic run`',
  'try-restart': '`daemonic restart NAME`',
  condrestart: '`daemonic restart NAME`',
  'force-reload': '`daemonic reload NAME`',
  gracefulReload: '`daemonic reload NAME`',
  startOrRestart: '`daemonic restart --config FILE`',
  startOrReload: '`daemonic reload --config FILE`',
  reread: '`daemonic restart --config FILE`, which reads it again',
  update: '`daemonic restart --config FILE`, which reads it again',
  'daemon-reload': '`daemonic restart --config FILE`, which reads it again',
  init: '`daemonic start --config FILE`; docs/cli.md shows such a file',
  ecosystem: '`daemonic start --config FILE`; docs/cli.md shows such a file',
  save: 'a configuration file, for `daemonic start --config FILE`: nothing has to be saved, and `daemonic import` makes one of pm2’s',
  dump: 'a configuration file, for `daemonic start --config FILE`: nothing has to be saved, and `daemonic import` makes one of pm2’s',
  resurrect: '`daemonic start --config FILE`',
  startup: AT_BOOT,
  unstartup: '`daemonic disable NAME`',
}

/** Says what to use instead of a command of another tool; undefined if it is none of them. */
export function instead(command: string): string | undefined {
  return Object.hasOwn(COMMANDS, command) ? `There is no '${command}' here: use ${COMMANDS[command]}` : undefined
}

/** Says what to use instead of an option of pm2; undefined if it is none of them. */
export function insteadOfOption(rawName: string): string | undefined {
  return Object.hasOwn(OPTIONS, rawName) ? `There is no ${rawName} here: use ${OPTIONS[rawName]}` : undefined
}

/**
 * Warns of arguments of a script that look like options of this command, or like pm2's, which come after the script; null if
 * there is none. What stands behind `--` is meant for the script.
 */
export function misplacedOptions(script: string, args: readonly string[]): string | null {
  const end = args.indexOf('--')
  const own = args.slice(0, end < 0 ? args.length : end)
  const found = [...new Set(own.map(argument => argument.replace(/=.*/s, '')))].filter(
    name => START_OPTIONS.some(option => name === `--${option.name}`) || Object.hasOwn(OPTIONS, name),
  )
  if (found.length === 0) return null
  const foreign = found.filter(name => Object.hasOwn(OPTIONS, name)).map(name => `; for ${name} use ${OPTIONS[name]}`)
  const many = found.length > 1
  return (
    `${found.join(', ')} ${many ? 'are arguments' : 'is an argument'} of ${script}, since ${many ? 'they stand' : 'it stands'} ` +
    `after it: options of daemonic stand before the script${foreign.join('')}`
  )
}
