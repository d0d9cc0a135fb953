// examples/tool-daemon: the first call starts the daemon, later ones use it.
import { mkdirSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { PidLock, targetOf } from 'daemonic'
import { inScene } from './support/launching.js'
import { finished, Scene } from './support/scene.js'

const CLI = fileURLToPath(new URL('../examples/tool-daemon/cli.js', import.meta.url))

function owner(scene: Scene, project: string): number | null {
  return PidLock.inspect(scene.path(`${targetOf('tool-daemon', project)}.pid`)).pid
}

test('all calls of a project, the first ones at once too, are answered by one daemon, until it is stopped', async t => {
  const scene = new Scene(t)
  const file = scene.write('text', '\ta \n\t\tb\n\n\n')
  const call = () => finished(scene.spawn(process.execPath, [CLI, file], inScene(scene)))
  for (const { code, stdout, stderr } of await Promise.all(Array.from({ length: 8 }, call))) {
    t.is(code, 0, stderr)
    t.is(stdout, '  a\n    b\n')
  }
  const pid = owner(scene, scene.directory)
  await call()
  t.is(owner(scene, scene.directory), pid)
  t.deepEqual(scene.processes(), [pid])

  const other = scene.path('other')
  mkdirSync(other)
  t.is((await scene.node(CLI, inScene(scene, { cwd: other, args: [file] }))).code, 0)
  t.not(owner(scene, other), pid)

  for (const cwd of [scene.directory, other]) {
    t.is((await scene.node(CLI, inScene(scene, { cwd, args: ['--stop'] }))).code, 0)
  }
  t.deepEqual(scene.processes(), [])
  t.deepEqual(scene.files(), ['other', 'state', 'text'])
  t.deepEqual(
    readdirSync(scene.path('state')).filter(name => !name.endsWith('.log')),
    [],
  )
})
