// Writes $LINES lines to its output as programs do, and notes when it began and when its last call returned. With
// SUPERVISED=yes it is a worker that writes to its log.
import { setTimeout as delay } from 'node:timers/promises'
import { daemonize } from 'daemonic'
import { mark } from './mark.js'

/** Milliseconds until it is ready and everything around it at rest. */
const REST = 300
const LINE = 'a line as long as they are in logs, with a time and a path: '.padEnd(99, '.')

if (process.env.SUPERVISED === 'yes') {
  daemonize({ name: 'writer', detach: true, pidFile: process.env.PID_FILE, log: process.env.LOG, monitor: true })
}
mark('serving')
await delay(REST)
mark('begin')
for (let each = 0; each < Number(process.env.LINES); each++) console.log(LINE)
mark('end')
setInterval(() => {}, 1_000_000)
