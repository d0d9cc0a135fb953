// Which boot of the system a daemon belongs to: files outlive a reboot, processes don't.
import { readFileSync } from 'node:fs'

/** Returns the id of this boot: random(4). Undefined where the system has none. */
export function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return undefined
  }
}

/** Tells whether a daemon was started since the system was booted. Where one of both ids is unknown, it counts as that. */
export function isOfThisBoot({ bootId: then }: { bootId?: string }): boolean {
  const now = bootId()
  return then === undefined || now === undefined || then === now
}
