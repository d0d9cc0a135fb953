// pm2's ecosystem files: run by our meaning, and printed as a configuration of ours.
import { mkdirSync } from 'node:fs'
import test from 'ava'
import { status } from 'daemonic'
import { cli, isReadable, place } from './support/cli.js'
import { freePort } from './support/listening.js'
import { Scene } from './support/scene.js'

/** An ecosystem file in a project of its own. */
function project(scene: Scene, content: object, name = 'ecosystem.config.cjs'): void {
  mkdirSync(scene.path('project'), { recursive: true })
  const text = JSON.stringify(content)
  scene.write(`project/${name}`, name.endsWith('.json') ? text : `module.exports = ${text}\n`)
  place(scene, 'tells-its-environment', 'project/job.mjs')
}

const JOB = {
  name: 'job',
  script: './job.mjs',
  env: { MODE: 'development', PORT: 80 },
  env_production: { MODE: 'production' },
}

for (const name of ['ecosystem.config.cjs', 'ecosystem.config.js', 'apps.json']) {
  test(`start ${name} runs its apps, restarted always, as every verb does`, async t => {
    const scene = new Scene(t)
    project(scene, { apps: [JOB, { script: 'job.mjs', name: 'other', autorestart: false }] }, name)
    const file = `project/${name}`
    const start = await cli(scene, ['start', file])
    t.is(start.code, 0, start.stderr)
    t.regex(start.stdout, /^job: running as pid .*\nother: running as pid .*\n$/)
    t.is(start.stderr, '')
    t.regex(scene.read('state/job.log'), /^development 80 .*\/project$/m)
    const { launch } = JSON.parse(scene.read('run/job.json'))
    t.is(launch.options.monitor.restart, 'always')
    t.regex((await cli(scene, ['restart', file, 'job'])).stdout, /^job: running as pid \d+ .*\n$/)
    t.is((await cli(scene, ['status', file])).code, 0)
    t.regex((await cli(scene, ['stop', file])).stdout, /^job: stopped .*\nother: stopped .*\n$/)
  })
}

test('--env picks env_NAME, --only some of the apps, before the file and behind it', async t => {
  const scene = new Scene(t)
  project(scene, { apps: [JOB, { ...JOB, name: 'other' }] })
  for (const args of [
    ['--env', 'production', 'project/ecosystem.config.cjs', 'job'],
    ['project/ecosystem.config.cjs', '--only', 'job', '--env', 'production'],
    ['project/ecosystem.config.cjs', '--env=production', '--only=job'],
  ]) {
    scene.remove('state')
    const { code, stdout, stderr } = await cli(scene, ['start', ...args])
    t.is(code, 0, stderr)
    t.regex(stdout, /^job: running as pid \d+ .*\n$/)
    t.regex(scene.read('state/job.log'), /^production 80 /m)
    t.is((await cli(scene, ['stop', 'job'])).code, 0)
  }
})

test('each field is mapped, and what can’t be is said', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  project(scene, {
    apps: [
      {
        ...JOB,
        ...{ cwd: 'sub', args: '-a "b c"', node_args: ['--trace-warnings'], instances: 'max', exec_mode: 'cluster' },
        ...{ env: { PORT: port }, stop_exit_codes: [0], max_restarts: 5, min_uptime: '5s', restart_delay: 200 },
        ...{ max_memory_restart: '300M', kill_timeout: 3000, listen_timeout: 8000, out_file: 'out.log', uid: 'www' },
        ...{ merge_logs: true, watch: true, cron_restart: '0 * * * *', wait_ready: true, flux: 1, vizion: false },
      },
      { name: 'two', script: 'job.mjs', instances: 2 },
      { name: 'npm', script: 'npm', args: 'start' },
      { name: 'py', script: 'a.py', exec_mode: 'cluster', instances: 2 },
    ],
    deploy: {},
  })
  const { code, stdout, stderr } = await cli(scene, ['import', 'project/ecosystem.config.cjs', '--env', 'production'])
  t.is(code, 0)
  t.deepEqual(JSON.parse(stdout).daemons, {
    job: {
      ...{ script: 'sub/job.mjs', args: ['-a', 'b c'], interpreterArgs: ['--trace-warnings'], chdir: 'sub' },
      ...{ env: { PORT: String(port), MODE: 'production' }, workers: 'cpus', listen: { http: port } },
      monitor: { restart: 'on-failure', maxFailures: 5, steadyAfter: '5s', maxDelay: 200, maxMemory: '300M' },
      ...{ stopTimeout: 3000, startTimeout: 8000, stdout: 'sub/out.log', user: 'www' },
    },
    two: { script: './job.mjs', workers: 2, monitor: { restart: 'always' } },
    npm: { program: 'npm', args: ['start'], monitor: { restart: 'always' } },
    py: { script: './a.py', interpreter: 'python3', workers: 2, monitor: { restart: 'always' } },
  })
  t.deepEqual(stderr.trimEnd().split('\n'), [
    'deploy: there is no deployment here',
    'job: `watch` is not taken over: use `node --watch` while developing',
    'job: `cron_restart` is not taken over: use a line of crontab(5) with `daemonic restart NAME`',
    'job: `wait_ready` is not taken over: a server is ready when it listens; a program that says so itself calls daemon.ready(), not process.send()',
    'job: `flux` is not taken over, since nothing here is like it',
    'py: workers share the sockets of `listen` alone: add `listen: { http: PORT }` with the port of the program',
  ])
})

test('what is imported runs', async t => {
  const scene = new Scene(t)
  project(scene, { apps: [JOB] })
  scene.write('project/daemons.json', (await cli(scene, ['import', 'project/ecosystem.config.cjs'])).stdout)
  const { code, stderr } = await cli(scene, ['start', '--config', 'project/daemons.json'])
  t.is(code, 0, stderr)
  t.is((await status(scene.path('run/job.pid'))).state, 'running')
})

test('a script that is called like a configuration is a script; what has no apps is not imported', async t => {
  const scene = new Scene(t)
  scene.write('web.config.cjs', 'setInterval(() => {}, 1e6)\n')
  const wrong = await cli(scene, ['import', 'missing.json'])
  t.is(wrong.code, 2)
  t.regex(wrong.stderr, /there is no such file/)
  scene.write('none.json', '{"daemons":{}}')
  const none = await cli(scene, ['import', 'none.json'])
  t.is(none.code, 2)
  t.regex(none.stderr, /none\.json has no `apps`/)
  isReadable(t, none)
})
