// What the options ask of the process itself, and the order in which it takes that on. Three callers: a daemon that a
// launcher started, a program that stays in the foreground, and a daemonize() call in a program that is a daemon already.
import type { EnvironmentChange, IdentityChange, LimitPlan } from '#native'
import { checked, native } from '../binding/addon.js'
import { during } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import type { DaemonizeOptions } from '../types.js'

/** Changes of this process, each optional: one that is undefined is not made. */
export interface Changes {
  limits?: LimitPlan[] | undefined
  nice?: number | undefined
  oomScoreAdjust?: number | undefined
  noNewPrivileges?: boolean | undefined
  environment?: readonly EnvironmentChange[] | undefined
  /** Root directory, user and groups. */
  identity?: IdentityChange | undefined
  /** The working directory; false stays. */
  directory?: string | false | undefined
  /** False keeps the umask that the process has. */
  umask?: number | false | undefined
}

/** The options that each change comes from. */
export const ASKED_BY = {
  limits: ['limits'],
  nice: ['nice'],
  oomScoreAdjust: ['oomScoreAdjust'],
  noNewPrivileges: ['noNewPrivileges'],
  environment: ['env', 'user'],
  identity: ['chroot', 'user', 'group', 'groups'],
  directory: ['chdir'],
  umask: ['umask'],
} as const satisfies Record<keyof Changes, readonly (keyof DaemonizeOptions)[]>

/** Gives all changes that the settings ask for. */
export function changesOf(settings: Settings) {
  const { limits, nice, oomScoreAdjust, noNewPrivileges, environment, identity, chdir, umask } = settings
  // The kernel forbids core dumps after a change of ids: they become possible again only where they were asked for.
  const core = limits.find(({ resource }) => resource === 'core')
  const dumpable = core !== undefined && core.soft !== 0
  const resources = { limits, nice, oomScoreAdjust, noNewPrivileges }
  return {
    ...resources,
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
  const { environment = [], identity, directory = false, umask = false } = changes
  applyResources(changes)
  for (const { name, value } of environment) setVariable(name, value)
  if (identity) changeIdentity(identity, parent)
  if (directory !== false) during('chdir', directory, () => process.chdir(directory))
  if (umask !== false) process.umask(umask)
}

function applyResources({ limits = [], nice, oomScoreAdjust, noNewPrivileges = false }: Changes): void {
  checked(native.applyLimits(limits))
  checked(native.applyPriorities(nice, oomScoreAdjust, noNewPrivileges))
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
