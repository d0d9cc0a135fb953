// The supervisor: its memory, how soon it replaces a worker, what crashes leave behind, and logs.
import { measureCrashes } from './supervisor/crashes.js'
import { measureFloods } from './supervisor/floods.js'
import { measureLogLines } from './supervisor/log-lines.js'
import { measureMemory } from './supervisor/memory.js'
import { measureRestart } from './supervisor/restart.js'

export async function measureSupervisor(): Promise<void> {
  await measureMemory()
  await measureRestart()
  await measureLogLines()
  await measureCrashes()
  await measureFloods()
}
