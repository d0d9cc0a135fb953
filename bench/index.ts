// `npm run bench`: measures everything and prints tables. Names of measurements as arguments: these alone.
import { cpus, release } from 'node:os'
import { measureAddon } from './addon.js'
import { measureCommand } from './command.js'
import { measurePidLock } from './pid-lock.js'
import { measurePrefork } from './prefork.js'
import { measureReload } from './reload.js'
import { measureRequests } from './requests.js'
import { measureParts, measureStart } from './start.js'
import { measureSupervisor } from './supervisor.js'
import { listSystemCalls } from './system-calls.js'
import { measureToolDaemon } from './tool-daemon.js'

const MEASUREMENTS: Record<string, () => unknown> = {
  start: () => measureStart(),
  parts: () => measureParts(),
  calls: () => listSystemCalls(),
  addon: () => measureAddon(),
  'pid-lock': () => measurePidLock(),
  supervisor: () => measureSupervisor(),
  prefork: () => measurePrefork(),
  reload: () => measureReload(),
  requests: () => measureRequests(),
  command: () => measureCommand(),
  'tool-daemon': () => measureToolDaemon(),
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter(name => !(name in MEASUREMENTS))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}; there are ${Object.keys(MEASUREMENTS).join(', ')}`)
  process.exit(2)
}

console.log(`Node ${process.versions.node}, ${process.platform} ${release()}, ${cpus().length} × ${cpus()[0]?.model}`)
for (const [name, measure] of Object.entries(MEASUREMENTS)) {
  if (wanted.length === 0 || wanted.includes(name)) await measure()
}
