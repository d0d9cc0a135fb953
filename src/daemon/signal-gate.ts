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
  const isNew = !held.has(signal)
  held.set(signal, instead)
  if (!isNew) return
  // Node has bound the process.emit() of its time when the first listener was added: it binds the new one this way.
  const before = process.rawListeners(signal) as Listener[]
  process.removeAllListeners(signal)
  for (const listener of before) process.on(signal, listener)
}

/** Has the signal reach the program's listeners again. */
export function release(signal: NodeJS.Signals): void {
  held.delete(signal)
}

/** Calls the listeners of a signal as Node would, past the gate. */
export function emit(signal: NodeJS.Signals): void {
  Reflect.apply(original ?? process.emit, process, [signal, signal, constants.signals[signal]])
}

function intercept(): void {
  if (original) return
  original = process.emit
  const before = original as (...args: unknown[]) => boolean
  process.emit = function (this: NodeJS.Process, event: string | symbol, ...args: unknown[]) {
    const instead = held.get(event)
    if (!instead) return before.call(this, event, ...args)
    instead(event as NodeJS.Signals)
    return true
  } as typeof process.emit
}
