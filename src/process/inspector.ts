// The debugger of this process: whether its port is open, and closing it.

/** The address that a debugger can connect to; undefined where the inspector does not listen. */
export function inspectorUrl(): string | undefined {
  // Loading the inspector takes longer than all of daemonize(): it is asked only where it may listen.
  const { execArgv, env } = process
  const { moduleLoadList } = process as { moduleLoadList?: string[] }
  const isLoaded = moduleLoadList?.includes('NativeModule inspector') ?? true
  const isAskedFor = [...execArgv, env.NODE_OPTIONS ?? ''].some(flags => flags.includes('--inspect'))
  return isLoaded || isAskedFor ? inspector().url() : undefined
}

/** Closes the inspector's port, so that the daemon, which is started with the same flags, can open it. */
export function closeInspector(): void {
  if (inspectorUrl() !== undefined) inspector().close()
}

function inspector(): typeof import('node:inspector') {
  return process.getBuiltinModule('node:inspector')
}
