// `npm start`: makes examples/http-server a daemon, asks it something, and prints what there is to see.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { exampleState } from './example.js'
import { root, setup } from './setup.js'

setup()

// Detached in a container too, where 'auto' would stay in the foreground.
const env = { ...process.env, DAEMONIC_DETACH: 'true' }
const program = join(root, 'dist/examples/http-server/server.js')
const { status } = spawnSync(process.execPath, [program], { env, stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)

const { PidLock, processInfo } = await import('daemonic')
const { pidFile, url, log } = exampleState()
const { pid } = PidLock.inspect(pidFile)
const { ppid, pgid, sid, tty } = processInfo(pid)
const answer = await (await fetch(url)).text()

console.log(`http-server: running as pid ${pid}, listening on ${url}
  it answered  ${answer.trimEnd()}
  session      ${sid} (whose leader has exited), process group ${pgid}, terminal ${tty ?? 'none'}
  parent       ${ppid}
  log          ${log}
  pid file     ${pidFile}
stop it with \`npm stop\``)
