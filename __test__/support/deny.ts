// Programs under a kernel that lacks a system call: seccomp(2) denies it, to the program and all of its descendants.
import { script } from './scene.js'

/** System calls that an older kernel or a sandbox may lack. `ofd-locks` are three commands of fcntl(2). */
export const CALLS = ['pidfd_open', 'close_range', 'memfd_create', 'openat2'] as const
export type Call = (typeof CALLS)[number] | 'ofd-locks'

/** Gives a command line that runs `command` without `call`, for scene.run() and scene.spawn(). */
export function without(call: Call, ...command: string[]): [string, string[]] {
  return ['python3', [script('deny.py'), call, ...command]]
}
