// A daemon that ends when it is asked to, at once or after $ENDS_AFTER milliseconds, and notes its last moment.
import { setTimeout as delay } from 'node:timers/promises'
import { daemonize } from 'daemonic'
import { mark } from './mark.js'

const daemon = daemonize({ name: 'bench', detach: true, pidFile: process.env.PID_FILE })
const endsAfter = Number(process.env.ENDS_AFTER ?? 0)
if (endsAfter > 0) daemon.onStop(() => delay(endsAfter))
process.on('exit', () => mark('exit'))
setInterval(() => {}, 1_000_000)
