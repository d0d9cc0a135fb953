// What the daemon does on which signal: the `signals` option.
import { constants } from 'node:os'
import { native } from '../binding/addon.js'
import type { SignalAction } from '../option-types.js'

type Listener = (signal: NodeJS.Signals) => void

/** What the words of the `signals` option do. */
export type Actions = Readonly<Record<'stop' | 'reload' | 'reopen-logs', Listener>>

/** The mapped signals of this process. */
export class SignalActions {
  readonly #actions: Actions
  readonly #isSupervised: boolean
  readonly #listeners = new Map<NodeJS.Signals, Listener>()

  constructor(actions: Actions, isSupervised: boolean) {
    this.#actions = actions
    this.#isSupervised = isSupervised
  }

  /** Maps a signal to an action, in place of the one that it had. */
  set(signal: NodeJS.Signals, action: SignalAction): void {
    const before = this.#listeners.get(signal)
    if (before) process.off(signal, before)
    this.#listeners.delete(signal)
    // A terminal sends INT and QUIT to the whole group: a worker waits for the order that its supervisor makes of them.
    if (this.#isSupervised && action === 'stop' && signal !== 'SIGTERM') action = 'ignore'
    if (action === 'ignore' || action === 'default') {
      native.setDisposition(constants.signals[signal], action === 'ignore')
      return
    }
    const listener = typeof action === 'function' ? action : this.#actions[action]
    this.#listeners.set(signal, listener)
    process.on(signal, listener)
  }
}

/** Gives the name of a signal; null for 0, which is none. */
export function signalName(number: number): NodeJS.Signals | null {
  const entry = Object.entries(constants.signals).find(([, each]) => each === number)
  return (entry?.[0] as NodeJS.Signals) ?? null
}
