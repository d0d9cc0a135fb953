// What the launcher printed must be whole when it ends without its 'exit' listeners.
import { fstatSync } from 'node:fs'
import { native } from '../binding/addon.js'

/**
 * Makes writes to a standard output that is a pipe or socket blocking. Node queues there what the reader hasn't taken,
 * and a queue dies with the process: daemonize() never returns to the launcher's event loop. Called when the library is
 * imported, before the program prints.
 */
export function keepOutputWhole(): void {
  for (const [fd, name] of [
    [1, 'stdout'],
    [2, 'stderr'],
  ] as const) {
    const stat = fstatSync(fd)
    if (stat.isFIFO() || stat.isSocket()) {
      const stream = process[name] as { _handle?: { setBlocking?(blocking: boolean): void } }
      stream._handle?.setBlocking?.(true)
    }
  }
}

/**
 * Waits until what was queued before the library was loaded is written: the event loop turns for that alone, though
 * other callbacks may run in it.
 */
export function flush(): void {
  const isPending = (stream: NodeJS.WriteStream) => stream.writableLength > 0
  while (isPending(process.stdout) || isPending(process.stderr)) {
    if (!native.turnEventLoop()) return // a runtime without libuv
  }
}

/** Ends the process without its 'exit' listeners, but with libc's atexit: Node resets a terminal there. */
export function leave(code: number): never {
  flush()
  const { reallyExit } = process as unknown as { reallyExit(code: number): never }
  return reallyExit(code)
}
