// Where the example daemon of `npm start` keeps its files.
import { readFileSync } from 'node:fs'

export const pidFile = process.env.PID_FILE ?? '/tmp/daemonic-http-server.pid'

/** Reads from the example's state file where it listens and logs. */
export function exampleState() {
  const { addresses, logs } = JSON.parse(readFileSync(pidFile.replace(/\.pid$/, '.json'), 'utf8'))
  return { pidFile, url: `http://${addresses.http}/`, log: logs[0] }
}
