// User, group and root directory: names resolved to ids once, while the user database can still be read.
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Account, IdentityChange } from '#native'
import { checked, native } from '../binding/addon.js'
import { OptionError, SystemCallError } from '../errors/classes.js'
import type { DaemonizeOptions } from '../option-types.js'
import { expected, text } from './values.js'

/** Another identity, with names resolved to ids. */
export interface Identity {
  change: Omit<IdentityChange, 'dumpable'>
  /** Changes to USER, LOGNAME, HOME and SHELL: the user's own; removed where the user has no account. */
  environment: { name: string; value?: string }[]
}

/** Ids are 32 bits wide, and the highest means "none": setuid(2). */
const HIGHEST_ID = 2 ** 32 - 2

/**
 * Validates the options of identity, and looks names up in the user database.
 * @throws OptionError
 * @throws SystemCallError EPERM: only root may do that
 */
export function normaliseIdentity(options: Pick<DaemonizeOptions, 'chroot' | 'user' | 'group' | 'groups'>): Identity {
  const { chroot, user, group, groups } = options
  const root = chroot === undefined ? undefined : resolve(text('chroot', chroot, 'a path'))
  if (root !== undefined && process.geteuid?.() !== 0) throw forbidden('chroot', 'chroot', root)
  if (user === undefined && group === undefined && groups === undefined) {
    return { change: { ...(root !== undefined && { chroot: root }) }, environment: [] }
  }
  refuseIoUring()
  const who = user === undefined ? undefined : userOf(user)
  const gid = group === undefined ? who?.account?.gid : groupOf('group', group)
  if (who && gid === undefined) {
    throw new OptionError('user', `The user ${user} has no account, and so no group: give the \`group\` option too`)
  }
  const list = groups === undefined ? defaultGroups(who, gid) : listOf(groups)
  const change = {
    ...(root !== undefined && { chroot: root }),
    ...(who && { user: who.uid }),
    ...(gid !== undefined && { group: gid }),
    ...(list && { groups: list }),
  }
  return { change: process.geteuid?.() === 0 ? change : unprivileged(change), environment: who ? variables(who) : [] }
}

interface User {
  uid: number
  /** The entry in the user database; null where there is none. */
  account: Account | null
}

function userOf(user: unknown): User {
  const named = typeof user === 'string' ? native.accountNamed(user) : null
  if (named) return { uid: named.uid, account: named }
  const uid = idOf('user', user)
  return { uid, account: native.accountNumbered(uid) }
}

function groupOf(option: string, group: unknown): number {
  const named = typeof group === 'string' ? native.groupNamed(group) : null
  return named ?? idOf(option, group)
}

/** Requires an id: a number, or its digits. Another string is a name that the user database doesn't have. */
function idOf(option: string, value: unknown): number {
  const id = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  if (typeof id === 'string' && id !== '') {
    throw new OptionError(
      option,
      `There is no ${option === 'user' ? 'user' : 'group'} called '${id}' (\`${option}\` option)`,
    )
  }
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > HIGHEST_ID)
    throw expected(option, 'a name or an id', value)
  return id
}

/** The groups that initgroups(3) gives the user; without a user, the group alone. */
function defaultGroups(who: User | undefined, gid: number | undefined): number[] | undefined {
  if (gid === undefined) return undefined
  return who?.account ? unique(checked(native.groupsOf(who.account.name, gid)) as number[]) : [gid]
}

function listOf(groups: unknown): number[] {
  if (!Array.isArray(groups)) throw expected('groups', 'an array of names and ids', groups)
  return unique(groups.map((group, index) => groupOf(`groups.${index}`, group)))
}

function unique(groups: readonly number[]): number[] {
  return [...new Set(groups)]
}

/** Refuses an identity other than the present one: without privileges a process can't change it. */
function unprivileged({ user, group, groups }: Identity['change']): Identity['change'] {
  if (user !== undefined && user !== process.getuid?.()) throw forbidden('setuid', 'setresuid')
  if (group !== undefined && group !== process.getgid?.()) throw forbidden('setgid', 'setresgid')
  // Node lists the group of the process among them, whether it is or not.
  const others = (list: readonly number[]) => unique(list.filter(each => each !== process.getgid?.())).sort()
  if (groups && !isDeepStrictEqual(others(groups), others(process.getgroups?.() ?? [])))
    throw forbidden('setgroups', 'setgroups')
  return {}
}

function forbidden(step: string, syscall: string, path?: string): SystemCallError {
  const detail = 'only root may do that'
  return new SystemCallError({ step, syscall, errno: constants.errno.EPERM, path, detail })
}

/** Refuses io_uring, whose kernel thread keeps the identity that it was started with: it would read files as root. */
function refuseIoUring(): void {
  const { UV_USE_IO_URING } = process.env
  if (UV_USE_IO_URING !== undefined && UV_USE_IO_URING !== '0') {
    const why = 'its kernel thread would keep the old identity: unset UV_USE_IO_URING'
    throw new OptionError('user', `Another identity can't be combined with io_uring; ${why}`)
  }
}

function variables({ account }: User): Identity['environment'] {
  const { name, home, shell } = account ?? {}
  return Object.entries({ USER: name, LOGNAME: name, HOME: home, SHELL: shell }).map(([variable, value]) =>
    value === undefined ? { name: variable } : { name: variable, value },
  )
}
