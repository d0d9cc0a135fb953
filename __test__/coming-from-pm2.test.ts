// The first hour of somebody who comes from pm2, with a program that pm2 would run: each line works, or is answered with ours.
import { mkdirSync } from 'node:fs'
import { status } from 'daemonic'
import { cli, cliOnTerminal, isReadable, place } from './support/cli.js'
import { freePort } from './support/listening.js'
import { withPython } from './support/locks.js'
import { type Result, Scene } from './support/scene.js'

withPython('start -i max, list, monit, logs, reload, scale, restart all, delete, save, startup, ecosystem', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  const env = { PORT: String(port) }
  place(scene, 'serves-at-port', 'api.mjs')
  const type = async (line: string): Promise<Result> => {
    const result = await cli(scene, line.split(' '), { env })
    isReadable(t, result)
    return result
  }
  const works = async (line: string, says: RegExp) => {
    const { code, stdout, stderr } = await type(line)
    t.is(code, 0, `${line}: ${stderr}`)
    t.regex(stdout, says, line)
    return stderr
  }
  const answers = async (line: string, says: RegExp) => {
    const { code, stderr } = await type(line)
    t.is(code, 2, line)
    t.regex(stderr, says, line)
  }
  const ask = async () => (await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } })).text()
  const workers = async () => (await status(scene.path('run/api.pid'))).workers.filter(({ ready }) => ready).length

  // pm2 start api.mjs -i max, in both orders
  await answers('start -i max api.mjs', /-i here: use --workers N, or --workers cpus/)
  t.regex(
    await works('start api.mjs -i max --name web', /^api: running as pid/),
    /for -i use --workers N, or --workers cpus/,
  )
  t.regex(await ask(), /^pid \d+$/)
  await works('stop api', /^api: stopped/)
  await works(`start --workers 2 --listen ${port} api.mjs`, /^api: running as pid \d+, listening on http:/)
  t.regex(await ask(), /^pid \d+$/)

  await answers('list', /use `daemonic status`/)
  await works('status', /^api +\d+ +running +\d+s +2 +0 /m)
  await answers('monit', /use `daemonic status --watch`/)
  const watched = await cliOnTerminal(scene, ['status', '--watch'], { dialog: [['api', '\x03']] })
  t.is(watched.code, 0)

  await works('logs', /serving/)
  await works('logs api -n 1', /./)
  await answers('tail api', /use `daemonic logs --follow NAME`/)

  const before = await ask()
  await works('reload all', /^api: reloaded/)
  t.not(await ask(), before)
  await works('scale api 3', /^api: 3 workers/)
  await works('scale api +1', /^api: 4 workers/)
  await works('restart all', /^api: running as pid/)
  t.is(await workers(), 4)

  await answers('delete api', /use `daemonic stop NAME`/)
  await answers('save', /use a configuration file/)
  await answers('startup', /use `daemonic enable NAME`/)
  await works('stop all', /^api: stopped/)
  t.is(await works('stop apj', /^apj: not running/), '')
  await works('status', /^$/)

  mkdirSync(scene.path('logs'))
  scene.write(
    'ecosystem.config.js',
    `module.exports = { apps: [{ name: 'api', script: './api.mjs', instances: 2, exec_mode: 'cluster',
      env: { PORT: ${port} }, env_production: { NODE_ENV: 'production' }, out_file: './logs/out.log' }] }`,
  )
  await works('start ecosystem.config.js --env production', /^api: running as pid/)
  t.regex(await ask(), /^pid \d+$/)
  t.regex(scene.read('logs/out.log'), /serving production/)
  await works('reload ecosystem.config.js', /^api: reloaded/)
  await works('stop ecosystem.config.js', /^api: stopped/)
})
