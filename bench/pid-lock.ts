// Pid file locks: how fast, how soon the next one has it, and what stop() takes.
import { loadavg } from 'node:os'
import { measureLatency } from './pid-lock/latency.js'
import { measureRate } from './pid-lock/rate.js'
import { measureStop } from './pid-lock/stop.js'

export async function measurePidLock(): Promise<void> {
  console.log(`load before: ${loadavg()[0]?.toFixed(2)}`)
  await measureRate()
  await measureLatency()
  await measureStop()
}
