// The flag that makes Node load the preload before a program.

/** The preload's module: it lies beside the bundle that this file is part of. */
const PRELOAD = new URL('./preload.js', import.meta.url).href

/** Returns the flags that make Node load the preload before the program. */
export function preloadFlags(): string[] {
  return ['--import', PRELOAD]
}

/** Removes the preload from process.execArgv, which child_process.fork() and cluster give to their children. */
export function forgetPreload(): void {
  const place = process.execArgv.indexOf(PRELOAD)
  if (place > 0) process.execArgv.splice(place - 1, 2)
}
