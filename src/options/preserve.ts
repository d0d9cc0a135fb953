// Descriptors that the caller was given and that stay open: the `preserve` option.
import { fstatSync } from 'node:fs'
import { native } from '../binding/addon.js'
import { OptionError } from '../errors/classes.js'
import { expected, whole } from './values.js'

/** The number of the first passed socket: sd_listen_fds(3). Below it are the standard streams. */
export const FIRST_SOCKET = 3

/**
 * Validates the `preserve` option, and gives the numbers without repetition.
 * @throws OptionError also where a descriptor isn't open, is one that a socket of `listen` will have, or a directory
 *   through which a process could leave its new root
 */
export function normalisePreserve(value: unknown, sockets: number, hasNewRoot: boolean): number[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw expected('preserve', 'an array of descriptors', value)
  const numbers = value.flatMap((each, index) => {
    if (each === undefined || each === null) return []
    const option = `preserve.${index}`
    const fd = whole(option, typeof each === 'object' ? each.fd : each, 0, 2 ** 31 - 1)
    if (fd < FIRST_SOCKET)
      throw new OptionError(
        option,
        `The \`${option}\` option names descriptor ${fd}: the standard streams have options of their own: stdin, stdout, stderr`,
      )
    return [fd]
  })
  for (const fd of numbers) {
    const refuse = (why: string) =>
      new OptionError('preserve', `The \`preserve\` option names descriptor ${fd}, ${why}`)
    if (native.descriptorAccess(fd) === null) throw refuse('which is not open')
    if (hasNewRoot && fstatSync(fd).isDirectory()) throw refuse('a directory that leads out of the new root')
    if (fd < FIRST_SOCKET + sockets) throw refuse('which a socket of `listen` will have')
  }
  return [...new Set(numbers)]
}
