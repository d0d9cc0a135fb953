// Where the example daemon of `npm start` keeps its files.
import { readFileSync } from 'node:fs'

export const pidFile = process.env.PID_FILE ?? '/tmp/daemonic-http-server.pid'

/** What the running example says of itself. */
export function exampleState() {
  const { addresses, logs } = JSON.parse(readFileSync(pidFile.replace(/\.pid$/, '.json'), 'utf8'))
  return { pidFile, url: `http://${addresses.http}/`, log: logs[0] }
}
