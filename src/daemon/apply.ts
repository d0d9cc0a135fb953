// What the options ask of the process itself, and the order in which it takes that on. Three callers: a daemon that a
// launcher started, a program that stays in the foreground, and a daemonize() call in a program that is a daemon already.
import type { EnvironmentChange, IdentityChange, Resources } from '#native'
import { checked, native } from '../binding/addon.js'
import { during } from '../errors/classes.js'
import type { DaemonizeOptions } from '../option-types.js'
import type { Settings } from '../options/settings.js'
import { decidedBy } from '../options/table.js'

/** Changes of this process, each optional: one that is undefined is not made. */
export interface Changes {
  resources?: Resources | undefined
  environment?: readonly EnvironmentChange[] | undefined
  /** Root directory, user and groups. */
  identity?: IdentityChange | undefined
  /** The working directory; false stays. */
  directory?: string | false | undefined
  /** False keeps the umask that the process has. */
  umask?: number | false | undefined
}

/** The options that each change comes from; each part of `resources` is an option of the same name. */
export const ASKED_BY = {
  environment: ['env', 'user'],
  identity: decidedBy('identity'),
  directory: ['chdir'],
  umask: ['umask'],
} as const satisfies Record<Exclude<keyof Changes, 'resources'>, readonly (keyof DaemonizeOptions)[]>

/** Gives all changes that the settings ask for. */
export function changesOf(settings: Settings) {
  const { resources, environment, identity, chdir, umask } = settings
  // The kernel forbids core dumps after a change of ids: they become possible again only where they were asked for.
  const core = resources.limits.find(({ resource }) => resource === 'core')
  const dumpable = core !== undefined && core.soft !== 0
  return {
    resources,
    environment,
    identity: { ...identity.change, dumpable },
    directory: chdir,
    umask,
  } satisfies Required<Changes>
}

/**
 * Makes the changes in the one order that works. Limits and priorities come first, while the process still has the rights
 * to raise them; then root directory, groups and user, for good; then the directory, which is one of the new root that
 * the new user may enter. Sockets, pid file and logs must be open before: the new user may not be allowed to.
 *
 * `parent` is the process that this one dies with: a change of ids makes the kernel forget it, so it is set again.
 * @throws SystemCallError what the kernel refuses; the changes before it stay
 */
export function apply(changes: Changes, parent?: number): void {
  const { resources, environment = [], identity, directory = false, umask = false } = changes
  if (resources) checked(native.applyResources(resources))
  for (const { name, value } of environment) setVariable(name, value)
  if (identity) changeIdentity(identity, parent)
  if (directory !== false) during('chdir', directory, () => process.chdir(directory))
  if (umask !== false) process.umask(umask)
}

function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name]
  else process.env[name] = value
}

function changeIdentity(identity: IdentityChange, parent: number | undefined): void {
  checked(native.changeIdentity(identity, parent))
  // The core has entered the new root already, but Node still remembers the directory from before.
  if (identity.chroot) process.chdir('/')
}
