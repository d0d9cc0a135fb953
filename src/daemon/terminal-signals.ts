// Job control in the foreground: on a terminal these signals mean what they mean to any program.
import { native } from '../binding/addon.js'
import type { Settings } from '../options/settings.js'

/** On a terminal, leaves job control and HUP what they are by default; signals that the caller named are mapped. */
export function keepTerminalSignals({ signals, givenSignals }: Settings): void {
  if (!native.contextFacts().hasTerminal) return
  for (const signal of ['SIGTTIN', 'SIGTTOU', 'SIGTSTP', 'SIGHUP'] as const) {
    if (!givenSignals.has(signal)) signals.delete(signal)
  }
}
