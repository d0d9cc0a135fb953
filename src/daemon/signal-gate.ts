// The gate before a program's own listeners of a signal: a stop lets servers answer first, awaits what the listeners
// return, and counts a signal to a whole process group once. Node calls process.emit() for a signal; so does this.

import { constants } from 'node:os'

type Listener = (...args: unknown[]) => unknown

/** What happens instead of calling the listeners, by signal. */
const held = new Map<string | symbol, (signal: NodeJS.Signals) => void>()
let original: typeof process.emit | undefined

/** From now on calls `instead` when this process gets the signal, and not the program's listeners. */
export function hold(signal: NodeJS.Signals, instead: (signal: NodeJS.Signals) => void): void {
  intercept()
  held.set(signal, instead)
}

/** Has the signal reach the program's listeners again. */
export function release(signal: NodeJS.Signals): void {
  held.delete(signal)
}

/** Calls the listeners of a signal as Node would, past the gate. */
export function emit(signal: NodeJS.Signals): void {
  Reflect.apply(original ?? process.emit, process, [signal, signal, constants.signals[signal]])
}

/**
 * Puts the gate in place, which lets everything through until a signal is held. Listeners that are there already are added
 * once more, since Node binds the process.emit() of the time when a signal gets its first one. A signal that comes
 * meanwhile is lost: whoever has signals to expect calls this before.
 */
export function intercept(): void {
  if (original) return
  original = process.emit
  const before = original as (...args: unknown[]) => boolean
  process.emit = function (this: NodeJS.Process, event: string | symbol, ...args: unknown[]) {
    const instead = held.get(event)
    if (!instead) return before.call(this, event, ...args)
    instead(event as NodeJS.Signals)
    return true
  } as typeof process.emit
  for (const signal of Object.keys(constants.signals)) {
    const listeners = process.rawListeners(signal) as Listener[]
    if (listeners.length === 0) continue
    process.removeAllListeners(signal)
    for (const listener of listeners) process.on(signal, listener)
  }
}
