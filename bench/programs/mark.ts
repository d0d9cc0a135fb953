// Notes moments in $MARKS: a process, a name, and the monotonic clock, which all processes share.
import { appendFileSync } from 'node:fs'

export function mark(name: string): void {
  note(name, process.hrtime.bigint())
}

function note(name: string, time: bigint): void {
  if (process.env.MARKS) appendFileSync(process.env.MARKS, `${process.pid} ${name} ${time}\n`)
}

const sinceStart = BigInt(Math.round(performance.now() * 1e6))
const now = process.hrtime.bigint()
note('started', now - sinceStart)
note('code', now)
