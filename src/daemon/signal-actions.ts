// What the daemon does on which signal: the `signals` option.
import { constants } from 'node:os'
import { native } from '../binding/addon.js'
import type { SignalAction } from '../option-types.js'
import { hold, release } from './signal-gate.js'

type Listener = (signal: NodeJS.Signals) => unknown

/** What the words of the `signals` option do. */
export type Actions = Readonly<Record<'stop' | 'reload' | 'reload-hooks' | 'reopen-logs', Listener>>

/** What a supervisor does with a signal that the program maps: the same itself, or it passes the signal on to all workers. */
export type Share = 'stop' | 'reload' | 'reopen-logs' | 'pass-on'

/** Milliseconds within which one signal to a whole process group arrives twice: here, and by the supervisor. */
const COPY_WITHIN = 100
/** A terminal sends these to the whole group: a worker waits for its supervisor, which got them too. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT'])

/** The mapped signals of this process. */
export class SignalActions {
  readonly #words: Actions
  readonly #isSupervised: boolean
  readonly #note: (signal: NodeJS.Signals, action: SignalAction) => void
  readonly #actions = new Map<NodeJS.Signals, SignalAction>()
  readonly #listeners = new Map<NodeJS.Signals, Listener>()
  readonly #lastAt = new Map<NodeJS.Signals, number>()

  /** `note` hears of each signal that is obeyed. */
  constructor(words: Actions, isSupervised: boolean, note: (signal: NodeJS.Signals, action: SignalAction) => void) {
    this.#words = words
    this.#isSupervised = isSupervised
    this.#note = note
  }

  /** Maps a signal to an action, in place of the one that it had. */
  set(signal: NodeJS.Signals, action: SignalAction): void {
    this.#setAside(signal)
    this.#actions.set(signal, action)
    const waits = this.#isSupervised && FROM_TERMINAL.has(signal) && action !== 'default'
    if (waits) hold(signal, () => {})
    if (waits || action === 'ignore' || action === 'default') {
      native.setDisposition(constants.signals[signal], action !== 'default')
      return
    }
    const listener = (got: NodeJS.Signals) => void this.obey(got)
    this.#listeners.set(signal, listener)
    process.on(signal, listener)
    if (action === 'stop') hold(signal, listener)
  }

  /** The function that the signal is mapped to; undefined where it is a word. */
  functionOf(signal: NodeJS.Signals): ((signal: NodeJS.Signals) => unknown) | undefined {
    const action = this.#actions.get(signal)
    return typeof action === 'function' ? action : undefined
  }

  /** Whether the program has mapped any signal to its reload hooks. */
  get runsHooks(): boolean {
    return [...this.#actions.values()].includes('reload-hooks')
  }

  /** Does what the signal is mapped to. */
  obey(signal: NodeJS.Signals): unknown {
    const action = this.#actions.get(signal)
    if (action === undefined || action === 'ignore' || this.#isCopy(signal)) return
    this.#note(signal, action)
    if (typeof action === 'function') return action(signal)
    if (action === 'default') return process.kill(process.pid, signal)
    return this.#words[action](signal)
  }

  /** The program's own listeners of the signal. */
  own(signal: NodeJS.Signals): ((...args: unknown[]) => unknown)[] {
    const ours = this.#listeners.get(signal)
    return process.rawListeners(signal).filter(each => each !== ours) as ((...args: unknown[]) => unknown)[]
  }

  /** Leaves the signal to the program's own listeners. In a worker they hear of it by the supervisor's order alone. */
  leave(signal: NodeJS.Signals): void {
    this.#setAside(signal)
    if (this.#isSupervised) hold(signal, () => {})
  }

  /** Removes this library's listener of the signal: the program's own are alone. */
  #setAside(signal: NodeJS.Signals): void {
    release(signal)
    const listener = this.#listeners.get(signal)
    if (listener) process.off(signal, listener)
    this.#listeners.delete(signal)
  }

  /** Gives all signals back to the program. */
  clear(): void {
    for (const [signal, action] of this.#actions) {
      this.#setAside(signal)
      if (action === 'ignore') native.setDisposition(constants.signals[signal], false)
    }
    this.#actions.clear()
  }

  /** Tells what a supervisor is to do with these signals, by their numbers. */
  shares(signals: Iterable<NodeJS.Signals>): Record<number, Share> {
    const share = (signal: NodeJS.Signals): Share => {
      const action = this.#actions.get(signal)
      return action === 'stop' || action === 'reload' || action === 'reopen-logs' ? action : 'pass-on'
    }
    return Object.fromEntries([...signals].map(signal => [constants.signals[signal], share(signal)]))
  }

  /** Whether it is the second copy of a signal that a worker and its supervisor both got. */
  #isCopy(signal: NodeJS.Signals): boolean {
    if (!this.#isSupervised) return false
    const now = performance.now()
    const last = this.#lastAt.get(signal)
    this.#lastAt.set(signal, now)
    return last !== undefined && now - last < COPY_WITHIN
  }
}

/** Gives the name of a signal; null for 0, which is none. */
export function signalName(number: number): NodeJS.Signals | null {
  const entry = Object.entries(constants.signals).find(([, each]) => each === number)
  return (entry?.[0] as NodeJS.Signals) ?? null
}
