// `npm stop`: stops the daemon of `npm start`.
import { pidFile } from './example.js'
import { setup } from './setup.js'

setup()
const { stop } = await import('daemonic')
const { wasRunning, pid, elapsed, forced } = await stop(pidFile)
const how = forced ? 'killed' : 'stopped'
console.log(wasRunning ? `http-server: ${how} (pid ${pid}, ${Math.round(elapsed)} ms)` : 'http-server: not running')
