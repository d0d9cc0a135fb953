// Sentences about daemons that both commands say: `daemonic`, and a program's own.
import type { Launched } from '../types.js'

/** `running as pid 4242, listening on http://127.0.0.1:8080 (63 ms)` */
export function startedPhrase({ pid, started, addresses }: Launched, time: number): string {
  if (!started) return `already running as pid ${pid}`
  return `running as pid ${pid}${listeningPhrase(addresses)} (${elapsed(time)})`
}

export function listeningPhrase(addresses: Readonly<Record<string, string>>): string {
  const listening = Object.entries(addresses).map(([name, address]) => withScheme(name, address))
  return listening.length > 0 ? `, listening on ${listening.join(', ')}` : ''
}

/** Terminals make a link of it. */
function withScheme(name: string, address: string): string {
  const scheme = /^(https?)\d*$/.exec(name)?.[1]
  return scheme && !address.startsWith('/') ? `${scheme}://${address}` : address
}

/** `63 ms`, `1.2 s`, `4 min`: how long something took. */
export function elapsed(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  return `${Math.round(ms / 60_000)} min`
}
