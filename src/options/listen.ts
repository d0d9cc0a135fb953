// What to listen on: a port, an address, a path, in all forms in which people write them.
import { resolve } from 'node:path'
import type { ListenPlan } from '#native'
import { runPath } from '../running/paths.js'
import { expected, mode, oneOf, or, refuseUnknown, text, whole } from './values.js'

/** How many connections may wait to be accepted: the default of net.Server. */
const BACKLOG = 511

/**
 * Validates one socket of the `listen` option. `fileName` is what the daemon's files are called.
 * @throws OptionError
 */
export function listenPlan(name: string, target: unknown, fileName: string): ListenPlan {
  const option = `listen.${name}`
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    throw expected(option, 'called by letters, digits, dots, dashes and underscores', name)
  }
  const plan = { name, backlog: BACKLOG, ipv6Only: false, reusePort: false, udp: false }
  if (typeof target === 'number') return { ...plan, port: port(option, target) }
  if (typeof target === 'string') return { ...plan, ...address(option, target) }
  if (typeof target !== 'object' || target === null) throw expected(option, FORMS, target)
  const given = target as Record<string, unknown>
  refuseUnknown(option, Object.keys(given), ['host', 'port', 'path', 'mode', 'backlog', 'ipv6Only', 'reusePort', 'udp'])
  if ((given.path === undefined) === (given.port === undefined))
    throw expected(option, 'given a `port` or a `path`', target)
  if (given.path !== undefined && given.host !== undefined) throw expected(option, 'given a `host` or a `path`', target)
  return {
    ...plan,
    ...(given.host !== undefined && { host: text(`${option}.host`, given.host, 'a host') }),
    ...(given.port !== undefined && { port: port(`${option}.port`, given.port) }),
    ...(given.path !== undefined && { path: socketPath(`${option}.path`, given.path, `${fileName}.${name}.sock`) }),
    ...(given.mode !== undefined && { mode: mode(`${option}.mode`, given.mode, 0o7777) }),
    backlog: whole(`${option}.backlog`, or(given.backlog, BACKLOG), 1, 2 ** 31 - 1),
    ipv6Only: oneOf(`${option}.ipv6Only`, or(given.ipv6Only, false), [true, false]),
    reusePort: oneOf(`${option}.reusePort`, or(given.reusePort, false), [true, false]),
    udp: oneOf(`${option}.udp`, or(given.udp, false), [true, false]),
  }
}

/** The path of a Unix socket. `true` is the daemon's own in the run directory, a path without a slash a file there. */
function socketPath(option: string, value: unknown, own: string): string {
  if (value === true) return runPath(own)
  const path = text(option, value, 'true or a path')
  return path.includes('/') ? resolve(path) : runPath(path)
}

const FORMS = "a port, ':PORT', 'HOST:PORT', '[IPV6]:PORT', a path with a slash, or an object"

function address(option: string, target: string): { host?: string; port?: number; path?: string } {
  if (target.includes('/')) return { path: resolve(text(option, target, 'a path')) }
  const [, bracketed, host, digits] = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d+)$/.exec(target) ?? []
  if (digits === undefined) {
    if (/^\d+$/.test(target)) return { port: port(option, Number(target)) }
    throw expected(option, FORMS, target)
  }
  const name = bracketed ?? host
  return { ...(name && { host: name }), port: port(option, Number(digits)) }
}

function port(option: string, value: unknown): number {
  return whole(option, value, 0, 65_535)
}
