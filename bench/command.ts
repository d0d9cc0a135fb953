// The command `daemonic`: start, stop and status.
import { measureCommandStart } from './command/start.js'
import { measureCommandStatus } from './command/status.js'
import { measureCommandStop } from './command/stop.js'

export async function measureCommand(): Promise<void> {
  await measureCommandStart()
  await measureCommandStop()
  await measureCommandStatus()
}
