// A supervised program whose first worker writes $LINE to its channel without end, twice over.
import { spawn } from 'node:child_process'
import { daemonize } from 'daemonic'

const { LINE = '', PID_FILE = '' } = process.env
const channel = Number(process.env.DAEMONIC_START?.split(' ')[1])
const daemon = daemonize({ pidFile: PID_FILE, workers: 2, stopTimeout: 1_000 })
daemon.ready()
if (daemon.worker === 0)
  for (let count = 0; count < 2; count++) spawn('yes', [LINE], { stdio: ['ignore', channel, 'ignore'] })
setInterval(() => {}, 1_000_000)
