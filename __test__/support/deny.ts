// Programs under a kernel that lacks a system call: seccomp(2) denies it, to the program and all of its descendants.
import type { Scene } from './scene.js'

/** System calls that an older kernel or a sandbox may lack. `ofd-locks` are three commands of fcntl(2). */
export const CALLS = ['pidfd_open', 'close_range', 'memfd_create', 'openat2'] as const
export type Call = (typeof CALLS)[number] | 'ofd-locks'

const FILTER = `import ctypes, errno, os, platform, struct, sys
machine = platform.machine()
numbers = {'pidfd_open': 434, 'close_range': 436, 'openat2': 437,
  'memfd_create': {'x86_64': 319, 'aarch64': 279}[machine], 'fcntl': {'x86_64': 72, 'aarch64': 25}[machine]}
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000
code = [(LOAD, 0, 0, 0)]
name = sys.argv[1]
if name == 'ofd-locks':
    code += [(EQUAL, 0, 5, numbers['fcntl']), (LOAD, 0, 0, 24), (EQUAL, 2, 0, 36), (EQUAL, 1, 0, 37), (EQUAL, 0, 1, 38),
      (RETURN, 0, 0, ERRNO | errno.EINVAL)]
else:
    code += [(EQUAL, 0, 1, numbers[name]), (RETURN, 0, 0, ERRNO | errno.ENOSYS)]
code += [(RETURN, 0, 0, ALLOW)]
text = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *each) for each in code))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(code), ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
if os.geteuid() != 0:
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
`

/** Gives a command line that runs `command` without `call`, for scene.run() and scene.spawn(). */
export function without(scene: Scene, call: Call, ...command: string[]): [string, string[]] {
  return ['python3', [scene.write('deny.py', FILTER), call, ...command]]
}
