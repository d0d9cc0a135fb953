// An HTTPS server on a low port, with a key that survives the loss of one of its two files. Started as root, it serves
// as a user who may do nothing.
//
//     TLS_KEY=/etc/tls-server/key.pem TLS_KEY_BACKUP=/var/backups/tls-server.pem node server.js
import { createServer } from 'node:https'
import { hostname } from 'node:os'
import { daemonize } from 'daemonic'
import { selfSigned } from './certificate.js'
import { ensureKey, KeyTrouble, ownerOf } from './key.js'

const EXIT_FAILED = 1
const EXIT_SETTINGS = 2 // daemonize()'s own for a wrong option

const settings = {
  key: required('TLS_KEY'),
  backup: required('TLS_KEY_BACKUP'),
  user: process.env.TLS_USER ?? 'nobody',
  listen: process.env.LISTEN ?? ':443',
}

// What stands before daemonize() runs twice, in the launcher and in the daemon, and both times as root: so it must find
// on the second run what it made on the first. After the call root is gone, and could neither make a key nor read it.
const { key, certificate } = readied(() => ({
  key: ensureKey([settings.key, settings.backup], ownerOf(settings.user), tell),
  certificate: selfSigned(settings.key, hostname()),
}))

const daemon = daemonize({
  name: 'tls-server',
  user: settings.user,
  noNewPrivileges: true,
  log: process.env.LOG ?? true,
  pidFile: process.env.PID_FILE ?? true,
  listen: { https: settings.listen },
})

const server = createServer({ key, cert: certificate }, (request, response) => {
  console.log(`${request.method} ${request.url}`)
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`Hello from process ${daemon.pid}, user ${process.getuid?.()}\n`)
})

await daemon.serve(server, 'https')
daemon.setStatus(`listening on ${daemon.sockets.https.address}`)

function required(name: string): string {
  return process.env[name] || refuse(`set ${name} to the path of a file for the private key`, EXIT_SETTINGS)
}

function readied<T>(action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof KeyTrouble) refuse(error.message, EXIT_FAILED)
    throw error
  }
}

function tell(message: string): void {
  console.error(`tls-server: ${message}`)
}

function refuse(message: string, exitCode: number): never {
  tell(message)
  process.exit(exitCode)
}
