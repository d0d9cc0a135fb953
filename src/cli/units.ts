// Times and sizes, short enough for a table or a line.

/** Shortens a time: `2d 3h`, `4h 5m`, `6m 7s`, `8s`. */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1_000)
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3_600), Math.floor(seconds / 86_400)]
  if (days > 0) return `${days}d ${hours % 24}h`
  if (hours > 0) return `${hours}h ${minutes % 60}m`
  if (minutes > 0) return `${minutes}m ${seconds % 60}s`
  return `${seconds}s`
}

/** Shortens a number of bytes: `512B`, `1.5K`, `12M`. */
export function size(bytes: number): string {
  const units = ['B', 'K', 'M', 'G', 'T']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  const value = bytes / 2 ** (10 * power)
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)}${units[power]}`
}

/** Says how long ago a moment was, given in milliseconds since the epoch: `5m 3s ago`. */
export function ago(moment: number): string {
  return `${duration(Math.max(0, Date.now() - moment))} ago`
}
