/* Generated from crates/node by `npm run build:native`: do not edit. */

/** A function's result: the value, or why there is none. */
export type Answer<T> = T | Refusal

/** Everything that a launcher or a supervisor passed to this process. */
export declare class Arrival {
  /** JSON from the launcher's side of the call. */
  get note(): string
  /** Pid of the process that forked this one. */
  get parent(): number
  /** Whether a supervisor started this process. */
  get isWorker(): boolean
  /** Writes a line to the supervisor. */
  say(line: string): void
  /** Writes to the launcher or supervisor what a start that takes long waits for. */
  waitsFor(what: string): void
  /** Has the supervisor bind a socket. `listen` is its plan, as JSON. */
  bind(name: string, listen: string): Answer<Socket>
  /** Tells the supervisor how the program wants to be supervised, as JSON, and waits until it was heard. */
  wish(wishes: string): Refusal | null
  /**
   * Reads the supervisor's orders in a thread of its own. `stop` gets the number of the signal, 0 for none; `signal` that
   * of a signal that the program maps. If the supervisor dies, this process exits at once.
   */
  listen(stop: (arg: number) => void, signal: (arg: number) => void): void
  /** Takes over the pid file that the launcher has locked for this process; null if there is none. */
  pidFile(path: string): Answer<PidFile> | null
  /** Redirects the outputs that had to wait for the call of daemonize(). */
  takeStreams(): Refusal | null
  /** Completes the start: the daemon is ready. `by_program`: the program said so itself. */
  ready(pidFile: PidFile | undefined | null, byProgram: boolean): Refusal | null
  /** Reports to the launcher what failed here, so that it throws the same error. */
  fail(step: string, errno: number, path?: string | undefined | null): void
}

/** Pid file that this process owns. */
export declare class PidFile {
  /** Path by which it was locked. */
  get path(): string
  /** Whether it has not been released yet. */
  get held(): boolean
  /** Whether the path still names this file. */
  isIntact(): boolean
  /** Marks the start as completed, for those who wait for it. */
  started(): Refusal | null
  /** Announces that this process is stopping: whoever wants a daemon waits for the next one. */
  ending(): void
  /** Takes byte 0 again, in case other code of this process closed a descriptor of the file. */
  assertOwnership(): void
  /** Removes the file and its companions, and unlocks it: at once, or with `untilExit` when the process exits. */
  release(companions: Array<string>, untilExit: boolean): Refusal | null
}

/** Wait for a pid file, in a thread of its own. */
export declare class PidFileWait {
  /** Prepares a wait. */
  constructor()
  /** Resolves with the file, with the reason why it can't be locked, or with null after `cancel()`. Call it once. */
  start(path: string, mode: number): Promise<PidFile | Refusal | null>
  /**
   * Resolves with true once the owner of the file is neither starting nor stopping, with the reason why that can't
   * be known, or with null after `cancel()`. Call it once.
   */
  settled(path: string): Promise<true | Refusal | null>
  /** Cancels the wait. When this returns, the wait has either succeeded, which the promise tells, or never will. */
  cancel(): void
}

/** Service manager that hears of this process by sd_notify(3). What can't be sent to it is lost. */
export declare class ServiceManager {
  /** Milliseconds within which the manager expects a sign of life; null: it expects none. */
  get watchdog(): number | null
  /** Whether the manager keeps sockets while the service restarts. */
  get storesSockets(): boolean
  ready(): void
  reloading(): void
  /** Tells that the service stops, which takes so many milliseconds at most. */
  stopping(within: number): void
  status(text: string): void
  alive(): void
  /** Tells why the service fails: a text, and the number of the error if it was one of the system. */
  failed(text: string, errno?: number | undefined | null): void
  /** Has the manager keep a socket. */
  store(name: string, socket: number): void
  /** Has the manager forget the sockets that it keeps under a name. */
  forget(name: string): void
}

/** Means to end a start of `launch()` before the daemon is ready. Dropping it ends the start, too. */
export declare class StartCancel {
  /** Prepares to cancel a start. */
  constructor()
  /** Has the daemon killed, unless it is ready by now. */
  cancel(): void
}

/** Entry of the user database. */
export interface Account {
  uid: number
  gid: number
  name: string
  home: string
  shell: string
}

/** Finds the account of this name. */
export declare function accountNamed(name: string): Account | null

/** Finds the account of this user id. */
export declare function accountNumbered(uid: number): Account | null

/** Locks the file and writes this process's pid into it. The file counts as starting until `started()`. */
export declare function acquirePidFile(path: string, mode: number, overwrite: boolean): Answer<PidFile>

/** Regular file that this process appends to. */
export interface AppendedFile {
  fd: number
  path: string
  mode: number
  inode: number
}

/** Lists the regular files that this process appends to. */
export declare function appendedFiles(): Array<AppendedFile>

/** Gives the resources to this running process with all its threads, where nothing is executed. */
export declare function applyResources(resources: Resources): Refusal | null

/** Takes everything that the launcher passed to this process; null if the marker was not made for it. Call it once. */
export declare function arrive(marker: string): Arrival | null

/**
 * Asks the supervisor `pid` behind a control socket, with a timeout in milliseconds. Resolves with the answer, a line
 * of JSON; null if that process doesn't listen there.
 */
export declare function askSupervisor(path: string, pid: number, question: string, timeout: number): Promise<string | Refusal | null>

/** Binds sockets in this very process, where nothing detaches. */
export declare function bindSockets(listen: Array<ListenPlan>): Answer<Array<Socket>>

/** Changes root and ids for good, and verifies the change. `parent` is the pid of the process with which this one dies. */
export declare function changeIdentity(change: IdentityChange, parent?: number | undefined | null): Refusal | null

/** Looks at the surroundings of this process. */
export declare function contextFacts(): ContextFacts

/** Facts that show whether a service manager, a container or a terminal runs this process. */
export interface ContextFacts {
  /** Whether descriptors 0 and 1 are the same socket, as inetd sets them up. */
  oneSocketForStdio: boolean
  /** Whether pid 1 is this process or leads its session. */
  ledByFirstProcess: boolean
  childOfFirstProcess: boolean
  leadsSession: boolean
  hasTerminal: boolean
}

/** Tells what descriptor `fd` is open for, 'read', 'write' or 'both'; null if it isn't open. */
export declare function descriptorAccess(fd: number): string | null

/** Duplicates a descriptor, closed at exec. */
export declare function duplicateDescriptor(fd: number): Answer<number>

/** Change of an environment variable. */
export interface EnvironmentChange {
  name: string
  /** Absent: the variable is removed. */
  value?: string
}

/**
 * Executes the plan's supervisor in this very process, where nothing detaches. `bound` gets the addresses of its
 * sockets. Returns only if it fails.
 */
export declare function executeSupervisor(plan: Plan, bound: (arg: Array<string>) => void): Refusal

/** Finds the id of the group of this name. */
export declare function groupNamed(name: string): number | null

/** Lists the groups of a user as initgroups(3) would set them. */
export declare function groupsOf(name: string, gid: number): Answer<Array<number>>

/** New root directory and new ids, for good. */
export interface IdentityChange {
  chroot?: string
  user?: number
  group?: number
  groups?: Array<number>
  /** Whether to allow core dumps again, which the kernel forbids after a change of ids. */
  dumpable: boolean
}

/** Tells the state of a pid file, without changing it. */
export declare function inspectPidFile(path: string): Answer<PidFileReport>

/** I/O scheduling class and level, from 0 (first served) to 7: ioprio_set(2). */
export interface IoPriority {
  class: 'idle' | 'best-effort' | 'realtime'
  /** Absent for 'idle' alone. */
  level?: number
}

/** Tells whether the owner of a pid file has announced its exit. */
export declare function isEnding(path: string): boolean

/** Whether descriptor `fd` is the file that $JOURNAL_STREAM names: systemd.exec(5). */
export declare function isJournalStream(fd: number, stream: string): boolean

/**
 * Opens daemonic's own executable for the life of this process: an upgrade of the package may replace it, and the new
 * one would not understand this addon. A failure shows at the first start.
 */
export declare function keepExecutable(path: string): void

/** Daemon with a supervisor that seems to have been killed: its state file tells this of it. */
export interface KilledDaemonPlan {
  pid: number
  session: number
  pidSpace: string
  invocation: string
  user: number
}

/** Lists the names of the resources that this system can limit. */
export declare function knownLimits(): Array<string>

/** Starts the daemon as `start()` does, but in a thread of its own, and resolves when it is done. */
export declare function launch(plan: Plan, timeout: number, cancel?: StartCancel | undefined | null): Promise<Launch | Refusal>

/** Daemon that was launched, and how its start went. */
export interface Launch {
  pid: number
  /** Addresses of its sockets, in the plan's order. */
  addresses: Array<string>
  outcome: Outcome
}

/** Soft and hard limit of one resource. */
export interface LimitPlan {
  resource: string
  /** Absent: unlimited. */
  soft?: number
  /** Absent: unlimited. */
  hard?: number
}

/** Socket that is to be bound. */
export interface ListenPlan {
  name: string
  host?: string
  port?: number
  /** Path of a Unix socket; then host and port are absent. */
  path?: string
  mode?: number
  /** Descriptor of a socket that a service manager passed; then all else is ignored. */
  fd?: number
  backlog: number
  ipv6Only: boolean
  reusePort: boolean
  udp: boolean
}

/** Address of a socket, with the socket's name. */
export interface NamedAddress {
  name: string
  address: string
}

/** Finds a live process that an unlocked pid file names: another system's daemon, perhaps. */
export declare function namedProcess(path: string): number | null

/** Result of a start. */
export interface Outcome {
  kind: 'ready' | 'ended' | 'timeout' | 'interrupted' | 'cancelled' | 'lost'
  exitCode?: number
  signal?: string
  stderr: string
  /** What the daemon waited for, with 'timeout', where it said so. */
  waiting?: string
  /** Pids of processes that the last daemon, which was killed, may have left, and that go on. */
  inTheWay: Array<number>
}

/** User and group to whom files are given. */
export interface OwnerPlan {
  user: number
  group: number
  /** Supplementary groups. */
  groups: Array<number>
}

/** Lists the sockets that were passed to this process by $LISTEN_FDS. */
export declare function passedSockets(): Array<Socket>

/** Pid file of a daemon. */
export interface PidFilePlan {
  path: string
  mode: number
  /** Whether to replace the file if it is locked. */
  overwrite: boolean
  /** Files beside it that are removed together with it. */
  companions: Array<string>
  killed?: KilledDaemonPlan
}

/** Report of what the locks and the text of a pid file say. */
export interface PidFileReport {
  state: 'absent' | 'free' | 'starting' | 'running'
  pid?: number
  /** Whether the kernel named the owner, not only the file's text. */
  verified: boolean
}

/** Everything that a start is made of. */
export interface Plan {
  /** daemonic's own executable, which is the process between launcher and daemon. */
  executable: string
  program: string
  /** All arguments, with argv[0]. */
  arguments: Array<string>
  directory: string
  environment: Array<EnvironmentChange>
  /** JSON for daemonize() in the daemon. */
  note: string
  /** Whether the launcher goes on after the start: then its exit doesn't abort the start. */
  outlivesLauncher: boolean
  /** Name under which the launcher prints on stderr what a slow start waits for; absent: it prints nothing. */
  hintsAs?: string
  state?: StatePlan
  pidFile?: PidFilePlan
  stdin: StreamPlan
  stdout: StreamPlan
  stderr: StreamPlan
  listen: Array<ListenPlan>
  /** Descriptors that stay open under their numbers. */
  preserve: Array<number>
  /** Owner of new logs. */
  owner?: OwnerPlan
  resources: Resources
  supervisor?: SupervisorPlan
}

/** Reads the facts about process `pid`. */
export declare function processFacts(pid: number): Answer<ProcessFacts>

/** Place of a process among the others. */
export interface ProcessFacts {
  pid: number
  ppid: number
  pgid: number
  sid: number
  /** The controlling terminal's name, e.g. `pts/3`. */
  tty?: string
  umask?: number
}

/** Reads what process `pid` has used; null where there is no /proc, or no such process. */
export declare function processUsage(pid: number): ProcessUsage | null

/** Memory and time that a process has used so far. */
export interface ProcessUsage {
  /** Resident memory, in bytes. */
  rss: number
  /** User and system time, in milliseconds. */
  cpu: number
  /** Time since its fork, in milliseconds. */
  uptime: number
}

/** Reason why a call failed. `kind` says which error class it becomes; `system` has step, syscall and errno. */
export interface Refusal {
  kind: 'system' | 'running' | 'blocked' | 'not-running' | 'unverified'
  path?: string
  pid?: number
  step?: string
  syscall?: string
  errno?: number
  detail?: string
}

/** Opens `path` again under `fd`, if the path no longer names the file that is open there. True if it was reopened. */
export declare function reopenLog(fd: number, path: string, mode: number): Answer<boolean>

/** Resources that a process is given before its exec; what is absent stays as inherited. */
export interface Resources {
  limits: Array<LimitPlan>
  nice?: number
  ioPriority?: IoPriority
  oomScoreAdjust?: number
  noNewPrivileges?: boolean
}

/** Finds the service manager that the environment names; null if there is none, or one of an ancestor. */
export declare function serviceManager(): ServiceManager | null

/** Ignores a signal, or lets it have its default effect. */
export declare function setDisposition(signal: number, ignore: boolean): void

/**
 * Sets a process title that is longer than the command line; does nothing where the process was not started by a launcher
 * or supervisor of this library, which leave room for it. To be called in the daemon alone, after its arrival.
 */
export declare function setTitle(text: string): void

/** Sends one signal to the owner of a pid file; one that isn't meant to end the daemon only once it is ready. */
export declare function signalOwner(path: string, signal: number): Promise<Refusal | null>

/** Listening socket with its name and its address. */
export interface Socket {
  name: string
  fd: number
  address: string
}

/** Returns the address of a socket: HOST:PORT, or a path. */
export declare function socketAddress(fd: number): string

/** Tells what kind of socket descriptor `fd` is; null for another file. */
export declare function socketKind(fd: number): 'listening' | 'connection' | 'datagram' | null

/**
 * Starts the daemon and blocks until it is ready, or until it has exited and its files are removed. The timeout is in
 * milliseconds.
 */
export declare function start(plan: Plan, timeout: number): Answer<Launch>

/** State file beside the pid file. */
export interface StatePlan {
  path: string
  /** Path under which the file is written before it is renamed. */
  draft: string
  /** A JSON object, to which `pid` and `addresses` are added. */
  text: string
  /** Whether `session` and `pidSpace` are added, too. */
  addsSession: boolean
  /** Addresses on which the program itself will listen. */
  addresses: Array<NamedAddress>
}

/** Lists the names of the steps at which a system call can fail, as `Refusal.step` has them. */
export declare function stepNames(): Array<string>

/** Stops the owner of a pid file: signals it, waits until it has exited, and removes stale files. */
export declare function stopOwner(request: StopRequest): Promise<StopResult | Refusal>

/** Terms of a stop. */
export interface StopRequest {
  path: string
  companions: Array<string>
  /** Number of the signal. */
  signal: number
  /** Time from the signal to SIGKILL, or to giving up, in milliseconds. */
  timeout: number
  /** Whether to send SIGKILL after the timeout. */
  force: boolean
  /** Pid of the only owner to stop: any other is left alone. */
  only?: number
}

/** Result of a stop. */
export interface StopResult {
  /** Pid of the owner; absent if nothing was running. */
  pid?: number
  /** Whether SIGKILL was sent. */
  forced: boolean
  /** Whether the owner has exited: false if it outlived the timeout. */
  ended: boolean
}

/** Destination of a standard stream. */
export interface StreamPlan {
  kind: 'null' | 'inherit' | 'descriptor' | 'file'
  fd?: number
  path?: string
  mode?: number
  truncate?: boolean
}

/** Supervisor that is executed in the daemon's place. */
export interface SupervisorPlan {
  executable: string
  /** Configuration of the supervisor, as JSON. */
  config: string
}

/** Runs the event loop until it has handled an event; false without libuv. */
export declare function turnEventLoop(): boolean

/** The user who listens at the other end of a connected Unix socket; null for another kind of socket. */
export declare function userOfListener(fd: number): number | null

/** The first of these files that another user than root can change or replace: the file, or a directory above it. */
export declare function writableByOthers(files: Array<string>): string | null
