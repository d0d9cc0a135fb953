// Taking the root directory, user and groups that the options ask for.
import { done, native } from '../binding/addon.js'
import type { Settings } from '../options/settings.js'

/**
 * Takes the new root and identity, for good. Core dumps stay possible only where they were asked for: the kernel forbids
 * them after a change of ids. `parent`: the process whose end is ours too.
 */
export function changeIdentity({ identity, resources }: Settings, parent?: number): void {
  const core = resources.limits.find(({ resource }) => resource === 'core')
  done(native.changeIdentity({ ...identity.change, dumpable: core !== undefined && core.soft !== 0 }, parent))
  if (identity.change.chroot) process.chdir('/') // where we are already; Node remembers another directory
}
