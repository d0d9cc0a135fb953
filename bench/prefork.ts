// Workers that share a port: how much they answer together, and how evenly it falls to them.
import { measureEvenness } from './prefork/evenness.js'
import { measureThroughput } from './prefork/throughput.js'

export async function measurePrefork(): Promise<void> {
  await measureThroughput()
  await measureEvenness()
}
