/* Generated from crates/node by `npm run build:native`: do not edit. */

/** A function's result: the value, or why there is none. */
export type Answer<T> = T | Refusal

export declare class Arrival {
  get note(): string
  /** The process that started this one. */
  get parent(): number
  get isWorker(): boolean
  /** Says a line to the supervisor. */
  say(line: string): void
  /** Has the supervisor bind a socket: its plan as JSON. */
  bind(name: string, listen: string): Answer<Socket>
  /**
   * Listens to the supervisor in a thread of its own: `stop` gets the number of the signal, 0 for none. Where the
   * supervisor is gone, so is this process.
   */
  listen(stop: (arg: number) => void): void
  /** The pid file that was taken for this process, if one was. */
  pidFile(path: string): Answer<PidFile> | null
  takeStreams(): Refusal | null
  ready(pidFile?: PidFile | undefined | null): Refusal | null
  /** Tells the launcher what failed here. */
  fail(step: string, errno: number, path?: string | undefined | null): void
}

/** A pid file that this process owns. */
export declare class PidFile {
  get path(): string
  get held(): boolean
  isIntact(): boolean
  started(): Refusal | null
  ending(): void
  assertOwnership(): Refusal | null
  /** Removes the file and its companions, and unlocks: now, or with the end of the process. */
  release(companions: Array<string>, ending: boolean): Refusal | null
}

/** A wait for a pid file, in a thread of its own. */
export declare class PidFileWait {
  constructor()
  /** Resolves with the file, why it can't be had, or null after `cancel()`. Call it once. */
  start(path: string, mode: number): Promise<PidFile | Refusal | null>
  /**
   * Resolves once the owner of the file neither starts nor ends: true, or why that can't be known, or null after
   * `cancel()`. Call it once.
   */
  settled(path: string): Promise<true | Refusal | null>
  /** When this returns, the wait has been won or never will be: the promise tells. */
  cancel(): void
}

export declare class Start {
  get pid(): number
  /** Where its sockets listen, in the plan's order. */
  get addresses(): Array<string>
  /** Blocks until the daemon is ready, or until it and what it left is gone. Milliseconds. Call it once. */
  wait(timeout: number): Answer<Outcome>
  /** Ends the daemon and removes what it left. */
  abort(): void
}

export interface Account {
  uid: number
  gid: number
  name: string
  home: string
  shell: string
}

export declare function accountNamed(name: string): Account | null

export declare function accountNumbered(uid: number): Account | null

/** Locks the file and writes our pid; it counts as starting until `started()`. */
export declare function acquirePidFile(path: string, mode: number, overwrite: boolean): Answer<PidFile>

export interface AppendedFile {
  fd: number
  path: string
  mode: number
  inode: number
}

/** Every regular file that this process appends to by an absolute path. */
export declare function appendedFiles(): Array<AppendedFile>

/** Sets limits of this process, where nothing is detached. */
export declare function applyLimits(plans: Array<LimitPlan>): Refusal | null

/** Nice value, oom score and new privileges of this process, where nothing is detached. */
export declare function applyPriorities(nice: number | undefined | null, oomScoreAdjust: number | undefined | null, noNewPrivileges: boolean): Refusal | null

/** What the launcher handed to this process, if the marker was meant for it. Call it once. */
export declare function arrive(marker: string): Arrival | null

/** Asks the supervisor `pid` behind a control socket: its answer, a line of JSON; null: nobody listens. Milliseconds. */
export declare function askSupervisor(path: string, pid: number, question: string, timeout: number): Promise<string | Refusal | null>

/**
 * Where nothing detaches: the plan's supervisor takes this process. `bound` gets the addresses of its sockets. Returns
 * only if it fails.
 */
export declare function becomeSupervisor(plan: Plan, bound: (arg: Array<string>) => void): Refusal

/** Forks; the daemon has a pid when this returns, and is not ready yet. */
export declare function begin(plan: Plan): Answer<Start>

/** Binds the sockets in this process, where nothing is detached. */
export declare function bindSockets(listen: Array<ListenPlan>): Answer<Array<Socket>>

/** For good, and verified. `parent`: the process whose end is ours too. */
export declare function changeIdentity(change: IdentityChange, parent?: number | undefined | null): Refusal | null

export declare function contextFacts(): ContextFacts

export interface ContextFacts {
  oneSocketForStdio: boolean
  ledByFirstProcess: boolean
  childOfFirstProcess: boolean
  leadsSession: boolean
  hasTerminal: boolean
}

/** What the descriptor `fd` may be used for, 'read', 'write' or 'both'; null if it isn't open. */
export declare function descriptorAccess(fd: number): string | null

/** The same open file under another number, closed at exec. */
export declare function duplicateDescriptor(fd: number): Answer<number>

export interface EnvironmentChange {
  name: string
  /** Absent: removed. */
  value?: string
}

/** Ends the process without anything that runs at exit. */
export declare function exitNow(code: number): void

export declare function groupNamed(name: string): number | null

/** The groups that initgroups(3) would set. */
export declare function groupsOf(name: string, gid: number): Answer<Array<number>>

export interface IdentityChange {
  chroot?: string
  user?: number
  group?: number
  groups?: Array<number>
  /** Core dumps were asked for. */
  dumpable: boolean
}

export declare function inspectPidFile(path: string): Answer<PidFileReport>

export declare function isJournalStream(fd: number, stream: string): boolean

/** The names of the resources that can be limited here. */
export declare function knownLimits(): Array<string>

/**
 * Starts the daemon and waits until it is ready, or until it and what it left is gone, in a thread of its own.
 * Milliseconds.
 */
export declare function launch(plan: Plan, timeout: number): Promise<Launch | Refusal>

export interface Launch {
  pid: number
  /** Where its sockets listen, in the plan's order. */
  addresses: Array<string>
  outcome: Outcome
}

export interface LimitPlan {
  resource: string
  /** Absent: unlimited. */
  soft?: number
  hard?: number
}

export interface ListenPlan {
  name: string
  host?: string
  port?: number
  /** A Unix socket's; then host and port are absent. */
  path?: string
  mode?: number
  /** Of a socket that a service manager passed; then all else is its business. */
  fd?: number
  backlog: number
  ipv6Only: boolean
  reusePort: boolean
  udp: boolean
}

export interface NamedAddress {
  name: string
  address: string
}

/** sd_notify(3); false if nobody listens there. */
export declare function notifyManager(address: string, text: string): boolean

export interface Outcome {
  kind: 'ready' | 'ended' | 'timeout' | 'interrupted' | 'lost'
  exitCode?: number
  signal?: string
  stderr: string
}

export interface OwnerPlan {
  user: number
  group: number
}

/** The sockets that were passed to this process by LISTEN_FDS. */
export declare function passedSockets(): Array<Socket>

export interface PidFilePlan {
  path: string
  mode: number
  overwrite: boolean
  companions: Array<string>
}

export interface PidFileReport {
  state: 'absent' | 'free' | 'starting' | 'running'
  pid?: number
  verified: boolean
}

export interface Plan {
  program: string
  /** argv[0] included. */
  arguments: Array<string>
  directory: string
  environment: Array<EnvironmentChange>
  note: string
  /** The caller goes on, and may end before the daemon is ready. */
  outlivesLauncher: boolean
  state?: StatePlan
  pidFile?: PidFilePlan
  stdin: StreamPlan
  stdout: StreamPlan
  stderr: StreamPlan
  listen: Array<ListenPlan>
  limits: Array<LimitPlan>
  preserve: Array<number>
  /** Whose new logs are. */
  owner?: OwnerPlan
  nice?: number
  oomScoreAdjust?: number
  noNewPrivileges: boolean
  supervisor?: SupervisorPlan
}

export declare function processFacts(pid: number): Answer<ProcessFacts>

export interface ProcessFacts {
  pid: number
  ppid: number
  pgid: number
  sid: number
  tty?: string
  umask?: number
}

export declare function processUsage(pid: number): ProcessUsage | null

export interface ProcessUsage {
  /** Resident, in bytes. */
  rss: number
  /** User and system, in milliseconds. */
  cpu: number
  /** In milliseconds. */
  uptime: number
}

/** What failed. `kind` tells which error class it becomes; `system`: step, syscall, errno and detail are set. */
export interface Refusal {
  kind: 'system' | 'running' | 'blocked' | 'not-running' | 'unverified'
  path?: string
  pid?: number
  step?: string
  syscall?: string
  errno?: number
  detail?: string
}

/** True if the path named another file by now, which is open under `fd` then. */
export declare function reopenLog(fd: number, path: string, mode: number): Answer<boolean>

/** Ignores a signal, or lets it do what it does by default. */
export declare function setDisposition(signal: number, ignore: boolean): void

/** Sends one signal to the owner, after its start if it wouldn't survive it before. */
export declare function signalOwner(path: string, signal: number): Promise<Refusal | null>

export interface Socket {
  name: string
  fd: number
  address: string
}

export interface StatePlan {
  path: string
  draft: string
  /** A JSON object, to which `pid` and `addresses` are added. */
  text: string
  /** Where the program itself will listen. */
  addresses: Array<NamedAddress>
}

export declare function stopOwner(request: StopRequest): Promise<StopResult | Refusal>

export interface StopRequest {
  path: string
  companions: Array<string>
  /** Its number. */
  signal: number
  /** Milliseconds. */
  timeout: number
  force: boolean
  /** Stops nobody but this one. */
  only?: number
}

export interface StopResult {
  /** Absent: nothing was running. */
  pid?: number
  forced: boolean
  /** False: it outlived the timeout. */
  ended: boolean
}

export interface StreamPlan {
  kind: 'null' | 'inherit' | 'descriptor' | 'file'
  fd?: number
  path?: string
  mode?: number
  truncate?: boolean
}

export interface SupervisorPlan {
  executable: string
  /** Its configuration, as JSON. */
  config: string
}

/** Turns the event loop once; false where there is none of libuv's. */
export declare function turnEventLoop(): boolean
