// docs/service-managers.md and docs/containers.md: their units start in a real systemd, their commands run in a container.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CLI } from './support/cli.js'
import { answerOf, freePort } from './support/http.js'
import { inline } from './support/inline.js'
import { withNamespaces } from './support/locks.js'
import { finished, Scene } from './support/scene.js'
import { withSystemd } from './support/systemd.js'

const SUPERVISOR = join(dirname(CLI), '..', 'native', 'daemonic-supervisor')

function blocks(page: string, language: string): string[] {
  const source = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8')
  return [...source.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block)
}

const SERVER = `import { createServer } from 'node:http'
const daemon = daemonize({ name: 'web', listen: { web: '127.0.0.1:8080' } })
daemon.serve(createServer((_, response) => response.end('hello')), 'web')`

/** The unit with the paths of this checkout, and a port that is free here. */
function here(scene: Scene, unit: string, port: string): string {
  const [program] = inline(scene, SERVER.replace('8080', port))
  return unit
    .replaceAll('/usr/bin/daemonic', `${process.execPath} ${CLI}`)
    .replaceAll('/usr/bin/node', process.execPath)
    .replaceAll('/srv/web/server.js', program)
    .replaceAll('8080', port)
    .replace(
      'Type=notify\n',
      `Type=notify\nStandardOutput=append:${scene.path('log')}\nStandardError=append:${scene.path('log')}\n`,
    )
}

withSystemd('every unit of the page is accepted, starts, answers, reloads and stops', async (t, systemd, scene) => {
  const units = blocks('service-managers.md', 'ini')
  t.is(units.length, 4)
  const isSocket = (unit: string) => unit.startsWith('# web.socket')
  const socket = units.find(isSocket) ?? ''
  for (const unit of [...units.filter(each => !isSocket(each)), socket]) {
    const port = await freePort()
    const files = isSocket(unit) ? { 'web.socket': unit, 'web.service': units[0] ?? '' } : { 'web.service': unit }
    for (const [name, content] of Object.entries(files)) {
      scene.write(`units/${name}`, here(scene, content, String(port)))
      const { code, stderr } = await systemd.run('systemd-analyze', 'verify', '--man=no', `/etc/systemd/system/${name}`)
      t.is(code, 0, stderr)
    }
    await systemd.systemctl('daemon-reload')
    await systemd.systemctl('start', isSocket(unit) ? 'web.socket' : 'web.service')
    t.regex(await answerOf(port), /hello$/)
    if (unit.includes('ExecReload')) {
      await systemd.systemctl('reload', 'web.service')
      await systemd.shows('web', 'SubState', 'running')
      t.regex(await answerOf(port), /hello$/)
    }
    await systemd.systemctl('stop', ...Object.keys(files))
    t.is(await systemd.property('web', 'Result'), 'success', scene.read('log'))
  }
})

withNamespaces('every command of docs/containers.md does what the page says', async t => {
  const scene = new Scene(t)
  const [cpus = '', run = '', probes = ''] = blocks('containers.md', 'sh')
  scene.write('server.js', `console.log('up'); setInterval(() => {}, 1_000_000)\n`)
  const node = process.execPath
  const script = (command: string) => command.replaceAll('/tmp/web.pid', scene.path('web.pid'))
  const container = (command: string) => {
    const shell = `daemonic() { exec ${node} ${CLI} "$@"; }\n${script(command)}`
    const child = scene.spawn('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', shell])
    return { child, end: finished(child) }
  }
  for (const command of [cpus, run]) {
    const { child, end } = container(command)
    let said = ''
    child.stdout?.on('data', chunk => (said += chunk))
    await scene.until('it is up', () => said.includes('up'))
    const first = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'))
    if (command === run) {
      for (const probe of script(probes).trim().split('\n')) {
        const shell = `daemonic() { ${node} ${CLI} "$@"; }\nalias daemonic-supervisor=${SUPERVISOR}\n${probe}`
        const asked = () => scene.run('nsenter', ['-t', String(first), '-m', '-p', 'sh', '-c', shell])
        const line = await scene.until(probe, async () => {
          const { code, stdout } = await asked()
          return code === 0 && stdout
        })
        t.is(line, 'pid 1: 1 of 1 workers ready\n', probe)
      }
    }
    process.kill(first, 'SIGTERM')
    t.is((await end).code, 0)
  }
})
