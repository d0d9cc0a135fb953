// Titles and status texts: whole, whatever room Node.js itself has for a title.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import test from 'ava'
import { status } from 'daemonic'
import { LONG } from './fixtures/modules/long-text.js'
import type { Programs } from './fixtures/titles.js'
import { launched, launchOnce } from './support/launching.js'
import { inForeground, startProgram } from './support/program.js'
import { asRoot } from './support/root.js'
import { programs, Scene } from './support/scene.js'
import { startSupervised, supervised } from './support/supervised.js'

const NOBODY = 65_534
const program = programs<Programs>('titles')
const titleOf = (pid: number | null) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '')

test('a long status is whole in the title and for status(), and a shorter one leaves nothing of it', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('saysStatus', {}))
  t.is((await status(scene.path('d.pid'))).statusText, LONG)
  t.is(titleOf(pid), `d: ${LONG}`)
  t.regex(execFileSync('ps', ['-o', 'args=', '-ww', '-p', String(pid)], { encoding: 'utf8' }), /größe-99$/m)
  process.kill(pid, 'SIGUSR2')
  await scene.until('it is changed', async () => (await status(scene.path('d.pid'))).statusText === 'short')
  t.is(titleOf(pid), 'd: short')
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
  t.true(environment.includes(`SCENE=${scene.directory}\0`), 'the environment is as it was')
})

test('in the foreground a long status is whole for status()', async t => {
  const scene = new Scene(t)
  const { child } = await inForeground(scene, program('saysStatus', {}))
  await scene.until('it is there', async () => (await status(scene.path('d.pid'))).statusText === LONG)
  child.kill('SIGUSR2')
  await scene.until('it is changed', async () => (await status(scene.path('d.pid'))).statusText === 'short')
  t.is(child.exitCode, null)
})

test('status() has the last of many texts', async t => {
  const scene = new Scene(t)
  t.truthy(await startProgram(scene, program('saysMany', {}, 500)))
  await scene.until('it is there', async () => (await status(scene.path('d.pid'))).statusText === 'text 499')
})

asRoot('a status of a user who may not write the state file is whole for status()', async t => {
  const scene = new Scene(t)
  await startProgram(scene, program('saysStatus', { user: NOBODY, group: NOBODY }))
  t.is((await status(scene.path('d.pid'))).statusText, LONG)
})

test('a worker’s title has a long status', async t => {
  const scene = new Scene(t)
  await startProgram(scene, program('saysStatus', { monitor: true }))
  const { workers, statusText } = await status(scene.path('d.pid'))
  t.is(statusText, LONG)
  t.is(titleOf(workers[0]?.pid ?? 0), `d: ${LONG}`)
})

test('`title` is any text; files keep the name', async t => {
  const scene = new Scene(t)
  const title = 'Mail for everybody: größe / "1" & more'
  const pid = await startProgram(scene, program('saysNothing', { title }))
  t.is(titleOf(pid), title)
  const { name, statusText } = await status(scene.path('d.pid'))
  t.deepEqual([name, statusText], ['d', null])

  const other = new Scene(t)
  const second = await startProgram(other, program('saysStatus', { title }))
  t.is(titleOf(second), `${title}: ${LONG}`)
  t.is((await status(other.path('d.pid'))).statusText, LONG)
})

test('a supervisor and its workers have the `title`', async t => {
  const scene = new Scene(t)
  const { pid } = await startSupervised(scene, supervised('stays', { title: 'Web shop', workers: 2 }))
  await scene.until('it is healthy', () => titleOf(pid) === 'Web shop: monitoring 2 workers (healthy)')
  const { workers } = await status(scene.path('d.pid'))
  t.deepEqual(workers.map(worker => titleOf(worker.pid)).sort(), ['Web shop: worker 0', 'Web shop: worker 1'])
})

test('launch() and the call give a `title`, the start first', async t => {
  const scene = new Scene(t)
  const { pid = null } = await launchOnce(scene, launched('stays'), { title: 'From the start' })
  t.is(titleOf(pid), 'From the start')
  const other = new Scene(t)
  const called = await launchOnce(other, program('saysNothing', { title: 'From the call' }), { name: 'd' })
  await other.until('the call is made', () => titleOf(called.pid ?? null) === 'From the call')
})
