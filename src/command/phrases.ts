// Phrases about daemons that both commands print: `daemonic`, and a program's own.
import type { Launched } from '../types.js'

/** Says that a daemon is ready: `running as pid 4242, listening on http://127.0.0.1:8080 (63 ms)`. */
export function startedPhrase(daemon: Pick<Launched, 'pid' | 'started' | 'addresses'>, time: number): string {
  const { pid, started, addresses } = daemon
  if (!started) return `already running as pid ${pid}`
  return `running as pid ${pid}${listeningPhrase(addresses)} (${elapsed(time)})`
}

/** Says where a daemon listens: `, listening on http://127.0.0.1:8080`; '' if it doesn't. */
export function listeningPhrase(addresses: Readonly<Record<string, string>>): string {
  const listening = Object.entries(addresses).map(([name, address]) => withScheme(name, address))
  return listening.length > 0 ? `, listening on ${listening.join(', ')}` : ''
}

/** Makes a URL of the address of `http`, `http2`, `https`, `tcp` and so on; terminals show those of HTTP as a link. */
function withScheme(name: string, address: string): string {
  const scheme = /^(https?|tcp)\d*$/.exec(name)?.[1]
  return scheme && !address.startsWith('/') ? `${scheme}://${address}` : address
}

/** Says how long something took: `63 ms`, `1.2 s`, `4 min`. */
export function elapsed(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  return `${Math.round(ms / 60_000)} min`
}
