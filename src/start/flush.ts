// Output of the launcher: all that it printed must be written before it exits without its 'exit' listeners.
import { fstatSync } from 'node:fs'
import { native } from '../binding/addon.js'

/**
 * Makes writes to standard outputs that are pipes or sockets blocking, or leaves them to the event loop again. Node queues
 * there what the reader has not taken, and the queue would be lost with a launcher, which never returns to its event loop.
 */
export function blockOutput(isBlocking: boolean): void {
  for (const [fd, name] of [
    [1, 'stdout'],
    [2, 'stderr'],
  ] as const) {
    const stat = fstatSync(fd)
    if (stat.isFIFO() || stat.isSocket()) {
      const stream = process[name] as { _handle?: { setBlocking?(blocking: boolean): void } }
      stream._handle?.setBlocking?.(isBlocking)
    }
  }
}

/**
 * Waits until the output that the program has queued is written. The event loop is turned only for that, though other
 * callbacks may run in it.
 */
export function flush(): void {
  blockOutput(true)
  const isPending = (stream: NodeJS.WriteStream) => stream.writableLength > 0
  while (isPending(process.stdout) || isPending(process.stderr)) {
    if (!native.turnEventLoop()) return // a runtime without libuv
  }
}

/**
 * Exits without running 'exit' listeners, which would delete what the daemon uses; but with libc's atexit(3), where Node
 * resets a terminal.
 */
export function exitWithoutListeners(code: number): never {
  flush()
  const { reallyExit } = process as unknown as { reallyExit(code: number): never }
  return reallyExit(code)
}
