// Node loads this before a program that launch() or the supervisor started (`--import`); in worker threads too, where
// there is nothing to do. The program's own import of the library finds the same module, and the daemon in it.
if (process.env.DAEMONIC_START !== undefined) {
  const { daemonize } = await import('./index.js')
  const { [Symbol.for('daemonic.preload')]: preload } = daemonize as unknown as {
    [name: symbol]: (() => void) | undefined
  }
  preload?.()
}

export {}
