// The monotonic clock, the same in all processes, in milliseconds.

export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
