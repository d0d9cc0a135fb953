// Programs that share their work by node:cluster: where they become daemons, and how they stop.
import { get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { stop } from 'daemonic'
import { inline } from './support/inline.js'
import { launchOnce } from './support/launching.js'
import { freePort } from './support/listening.js'
import { startProgram } from './support/program.js'
import { Scene } from './support/scene.js'

test('a worker of node:cluster is refused what each of them would take: pid file, sockets, a session', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `const { default: cluster } = await import('node:cluster')
    if (cluster.isPrimary) cluster.fork()
    else {
      for (const options of [{ pidFile: './d.pid' }, { listen: { web: 0 } }, { detach: true }])
        try { daemonize(options) } catch (error) { console.log(error.code + ': ' + error.message) }
      daemonize()
      console.log('in the foreground')
      process.exit()
    }`,
  )
  const { code, stdout } = await scene.node(program, { detach: 'auto' })
  const refused = /^ERR_DAEMON_UNSUPPORTED: daemonize\(\) was called in a worker of node:cluster: .*`workers`/
  const lines = stdout.trimEnd().split('\n')
  t.is(lines.length, 4, stdout)
  for (const line of lines.slice(0, 3)) t.regex(line, refused)
  t.is(lines[3], 'in the foreground')
  t.is(code, 0)
})

test('a primary of node:cluster with workers can’t become a daemon: they would stay with the launcher', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `const { default: cluster } = await import('node:cluster')
    if (cluster.isPrimary) {
      cluster.fork()
      try { become() } catch (error) { console.log(error.code + ': ' + error.message) }
      process.exit()
    }`,
  )
  const { code, stdout } = await scene.node(program)
  t.regex(stdout, /^ERR_DAEMON_UNSUPPORTED: daemonize\(\) was called after cluster\.fork\(\): call it before/)
  t.is(code, 0)
  t.false(scene.exists('d.pid'))
})

test('a primary of node:cluster becomes a daemon before its workers', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `const { default: cluster } = await import('node:cluster')
    if (cluster.isPrimary) {
      become()
      cluster.fork()
    } else setInterval(() => {}, 1_000_000)`,
  )
  const pid = await startProgram(scene, program)
  await scene.until('its worker runs', () => scene.processes().length === 2)
  t.true(scene.processes().includes(pid))
})

test('at a stop its workers answer what is in flight, though the program forks another for each that ends', async t => {
  const scene = new Scene(t)
  const program = scene.write(
    'd.mjs',
    `import cluster from 'node:cluster'
    import { appendFileSync, existsSync } from 'node:fs'
    import { createServer } from 'node:http'
    if (cluster.isPrimary) {
      for (let count = 0; count < 2; count++) cluster.fork()
      cluster.on('exit', () => cluster.fork())
    } else {
      appendFileSync('workers', process.pid + '\\n')
      createServer((request, response) => {
        appendFileSync('requests', request.url)
        const asked = setInterval(() => {
          if (!existsSync('go')) return
          clearInterval(asked)
          response.end('answer')
        }, 10)
      }).listen(process.env.PORT)
    }`,
  )
  const port = await freePort()
  const launched = await launchOnce(scene, [program], {
    listen: { web: `127.0.0.1:${port}` },
    env: { PORT: String(port) },
    log: './d.log',
  })
  t.true(launched.started)
  const workers = () => scene.read('workers').trim().split('\n')
  await scene.until('both workers run', () => scene.exists('workers') && workers().length === 2)
  const slow = new Promise<IncomingMessage>((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: false }, resolve).on('error', reject)
  })
  await scene.until('the request has come', () => scene.exists('requests'))
  const stopped = stop(scene.path('d.pid'))
  await scene.until('the idle worker has ended', () => scene.processes().length < 3)
  scene.write('go', '')
  t.is(await text(await slow), 'answer')
  t.false((await stopped).forced)
  await scene.empty()
  t.is(workers().length, 2)
  t.notRegex(scene.read('d.log'), /killed/)
})
