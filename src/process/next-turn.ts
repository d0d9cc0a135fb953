// Waiting for the event loop.

/** Resolves once the event loop has turned: whatever was due before the call has run by then. */
export function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
