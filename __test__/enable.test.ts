// `daemonic enable`, and what `daemonic unit` prints: tried with the programs that read it.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import test from 'ava'
import { CLI, cli, started } from './support/cli.js'
import { answerOf, freePort } from './support/http.js'
import { NOBODY } from './support/locks.js'
import { Scene } from './support/scene.js'
import { Systemd, withSystemd } from './support/systemd.js'

// ── enable ───────────────────────────────────────────────────────────────────────────────

withSystemd(
  'what runs is enabled, handed over, and comes back with the next boot; then it is disabled',
  async (t, systemd, scene) => {
    const port = await freePort()
    mkdirSync(scene.path('app'))
    const program = scene.write(
      'app/web.mjs',
      `import { createServer } from 'node:http'
import { appendFileSync } from 'node:fs'
createServer((_, response) => {
  appendFileSync(new URL('visits', import.meta.url), 'x')
  response.end(process.env.GREETING)
}).listen(${port})\n`,
    )
    const target = scene.path('web.pid')
    const daemonic = (...words: string[]) => systemd.run('env', 'TOKEN=secret', process.execPath, CLI, ...words)
    const env = `GREETING=it is 100% "$HOME" \\ here`
    const start = await daemonic(
      'start',
      '--pid-file',
      target,
      '--listen',
      `127.0.0.1:${port}`,
      '--env',
      env,
      '--workers',
      '2',
      program,
    )
    t.is(start.code, 0, start.stderr)

    const enabled = await daemonic('enable', target)
    t.is(enabled.code, 0, enabled.stderr)
    t.regex(enabled.stdout, /^web: enabled in systemd$/m)
    t.regex(enabled.stderr, /won't have these variables.*\bTOKEN\b/)
    t.regex(enabled.stderr, /runs on without systemd/)
    t.notRegex(scene.read('units/web.service'), /secret/)
    for (const unit of ['web.service', 'web.socket']) {
      const { code, stderr } = await systemd.run('systemd-analyze', 'verify', '--man=no', `/etc/systemd/system/${unit}`)
      t.is(code, 0, stderr)
    }
    const { stdout: rated } = await systemd.run('systemd-analyze', 'security', '--no-pager', 'web.service')
    const exposure = /exposure level for web\.service: ([\d.]+)/.exec(rated)?.[1]
    t.log(`systemd-analyze security: ${exposure}`)
    t.true(Number(exposure) < 6)

    const now = await daemonic('enable', '--now', target)
    t.is(now.code, 0, now.stderr)
    t.is((await systemd.run('cat', target)).stdout.trim(), await systemd.property('web', 'MainPID'))
    t.regex(await answerOf(port), /it is 100% "\$HOME" \\ here$/)
    t.is(await systemd.property('web', 'ActiveState'), 'active')
    t.is(scene.read('app/visits'), 'x')

    await systemd.end()
    const again = await Systemd.boot(t, scene)
    await again.shows('web', 'ActiveState', 'active')
    t.regex(await answerOf(port), /it is 100%/)

    const disabled = await again.run(process.execPath, CLI, 'disable', '--now', 'web')
    t.is(disabled.code, 0, disabled.stderr)
    await t.throwsAsync(answerOf(port), { code: 'ECONNREFUSED' })
    t.deepEqual(
      scene.files().filter(name => name.startsWith('web.')),
      [],
    )
    const left = spawnSync('find', [scene.path('units'), '(', '-type', 'f', '-o', '-type', 'l', ')']).stdout.toString()
    t.is(left, '')
  },
)

withSystemd('a service of another user has the right to a low port, and no other', async (t, systemd, scene) => {
  const port = await freePort(700)
  const script = scene.write(
    'low.mjs',
    `import { createServer } from 'node:http'\ncreateServer((_, response) => response.end('low')).listen(${port})\n`,
  )
  scene.giveTo(NOBODY)
  const daemons = { low: { script, user: 'nobody', listen: { http: `127.0.0.1:${port}` }, workers: 2 } }
  const config = scene.write('daemons.json', JSON.stringify({ daemons }))
  const { code, stderr } = await systemd.run(process.execPath, CLI, 'enable', '--now', '--config', config)
  t.is(code, 0, stderr)
  t.regex(await answerOf(port), /low$/)
  const pid = await systemd.property('low', 'MainPID')
  t.is((await systemd.run('cat', '/run/low/low.pid')).stdout.trim(), pid)
  const { stdout: facts } = await systemd.run('cat', `/proc/${pid}/status`)
  t.regex(facts, new RegExp(`^Uid:\\t${NOBODY}\\t`, 'm'))
  for (const set of ['CapPrm', 'CapEff', 'CapBnd']) t.regex(facts, new RegExp(`^${set}:\\t0000000000000400$`, 'm'))
  await systemd.systemctl('reload', 'low')
  await systemd.shows('low', 'SubState', 'running')
  t.regex(await answerOf(port), /low$/)
})

withSystemd('a unit of somebody else is not overwritten, nor removed', async (t, systemd, scene) => {
  await systemd.service('web', '/bin/true', { Type: 'oneshot' })
  const config = scene.write(
    'daemons.json',
    JSON.stringify({ daemons: { web: { program: '/bin/sleep', args: ['1000'] } } }),
  )
  const unit = scene.read('units/web.service')
  const enable = await systemd.run(process.execPath, CLI, 'enable', '--config', config)
  t.is(enable.code, 1)
  t.regex(enable.stderr, /web\.service is there, and not written by daemonic/)
  const disable = await systemd.run(process.execPath, CLI, 'disable', 'web')
  t.regex(disable.stdout, /not enabled in systemd by daemonic/)
  t.is(scene.read('units/web.service'), unit)
})

// ── unit ─────────────────────────────────────────────────────────────────────────────────

async function unit(scene: Scene, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(scene, ['unit', ...words])
  if (code !== 0) throw new Error(stderr)
  return stdout
}

test('what `unit` prints is accepted by those who read it', async t => {
  const scene = new Scene(t)
  await started(scene, 'web', [
    '--ready',
    'loaded',
    '--listen',
    '127.0.0.1:0',
    '--stop-timeout',
    '7s',
    '--log',
    scene.path('web.log'),
    '--env',
    "A=b 'c' <d> & $e",
  ])

  const systemd = await unit(scene, 'systemd', 'web')
  t.regex(systemd, /^TimeoutStopSec=12$/m)
  t.notRegex(systemd, /MemoryDenyWriteExecute/)

  const script = scene.write('web.sh', await unit(scene, 'openrc', 'web'))
  t.is(spawnSync('sh', ['-n', script]).status, 0)

  const plist = await unit(scene, 'launchd', 'web')
  const parsed = spawnSync(
    'python3',
    ['-c', 'import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))'],
    { input: plist },
  )
  if (parsed.error) t.log('skipped: no python3 to read the property list')
  else {
    const { EnvironmentVariables, ProgramArguments, ExitTimeOut } = JSON.parse(parsed.stdout.toString())
    t.is(EnvironmentVariables.A, "b 'c' <d> & $e")
    t.true(ProgramArguments[0].startsWith('/'))
    t.is(ExitTimeOut, 12)
  }

  const { spec } = JSON.parse(await unit(scene, 'kubernetes', 'web', '--image', 'registry/web:1')).spec.template
  const [container] = spec.containers
  const preStop = Number(container.lifecycle.preStop.exec.command[1])
  t.true(spec.terminationGracePeriodSeconds > preStop + 7)
  t.is(container.image, 'registry/web:1')
  for (const [probe, what] of [
    ['readinessProbe', 'ready'],
    ['livenessProbe', 'live'],
  ])
    t.deepEqual(container[probe ?? ''].exec.command.slice(0, 4), ['daemonic', 'status', '--probe', what])
  t.true(container.command.includes(`--pid-file=${container.readinessProbe.exec.command[4]}`))

  const stanza = scene.write('logrotate.conf', await unit(scene, 'logrotate', 'web'))
  const rotate = spawnSync('logrotate', ['-d', stanza])
  if (rotate.error) t.log('skipped: no logrotate to read its stanza')
  else t.is(rotate.status, 0, rotate.stderr.toString())
})
