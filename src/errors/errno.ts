// The name and the meaning of an errno: libuv's, which Node has, and of those that libuv doesn't know.
import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'

/** What libuv has no words for, by name: the numbers differ from system to system. */
const UNKNOWN_TO_LIBUV: Record<string, string> = {
  ECHILD: 'no child process',
  EDEADLK: 'it would wait for itself',
  EDQUOT: 'disk quota exceeded',
  ENOEXEC: 'no format that this system executes',
  ENOLCK: 'no locks available',
  ESTALE: 'stale file handle',
}

/** Gives the name of an errno (positive) and what it means: `ENOENT`, `no such file or directory` for 2. */
export function describeErrno(errno: number): [name: string, meaning: string] {
  const known = getSystemErrorMap().get(-errno)
  if (known) return known
  const [name] = Object.entries(constants.errno).find(([, number]) => number === errno) ?? [`errno ${errno}`]
  return [name, UNKNOWN_TO_LIBUV[name] ?? 'refused by the system']
}
