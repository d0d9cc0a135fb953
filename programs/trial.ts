// One program started in one way: whether it gets ready, and what its clients see of a reload, a crash and a stop.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Asking, ask } from './clients.js'
import type { Fetched } from './fetch.js'
import { type Ended, Scene } from './scene.js'
import { DEEDS, type Deed, type Program, type Way } from './table.js'

/** What came out, for the table. */
export interface Finding {
  text: string
  isExpected: boolean
}

export type Findings = Partial<Record<'start' | 'prompt' | Deed, Finding>>

/** Milliseconds of load before and after what is done under it. */
const UNDER_LOAD = 500
/** A connection that breaks before its answer began may have waited for the program while that closed its socket. */
const NOT_TAKEN = /^ECONNREFUSED|^(ECONNRESET|EPIPE) after \d+ ms$/
/** What is expected of a deed, unless the table of programs says otherwise. */
const EXPECTED: Readonly<Record<Deed, RegExp>> = { reload: /^0 of \d/, crash: /^back in /, stop: /^0 of \d/ }

/** Tries all of it. The order of the deeds is that of {@link DEEDS}: the stop is the last. */
export async function trial(program: Program, fetched: Fetched, way: Way): Promise<Findings> {
  await using scene = await Scene.of(program, fetched, way)
  const begin = performance.now()
  const started = await scene.start()
  const elapsed = performance.now() - begin
  const says = program.expected?.[way]
  if (started.code !== 0) return { start: finding(`refused: ${reason(started)}`, says ?? /^ready/) }
  const findings: Findings = { start: finding(`ready in ${elapsed.toFixed(0)} ms`, says ?? /^ready/) }
  if (way === 'start') findings.prompt = await second(scene)
  for (const deed of DEEDS) {
    const expected = program.expected?.[`${way} ${deed}`] ?? program.expected?.[deed] ?? EXPECTED[deed]
    findings[deed] = finding(await underLoad(program, fetched, scene, way, deed), expected)
  }
  if (way === 'start') findings.prompt = await mistakes(program, fetched, scene, findings.prompt)
  return findings
}

function finding(text: string, expected: RegExp): Finding {
  return { text, isExpected: expected.test(text) }
}

async function underLoad(program: Program, fetched: Fetched, scene: Scene, way: Way, deed: Deed): Promise<string> {
  const asking = ask(program.asks ?? 'http', scene.port, fetched.directory)
  await scene.until('it answers', () => asking.answered > 0 || asking.failures.length > 100)
  await delay(UNDER_LOAD)
  try {
    if (deed === 'reload') return await reload(scene, asking)
    if (deed === 'crash') return await crash(scene, asking, way)
    return await stop(scene, asking, program)
  } catch (error) {
    return `failed: ${(error as Error).message}`
  } finally {
    await asking.stop()
  }
}

/** Reloads, and lets the clients go on for a while: what an old worker was to answer counts too. */
async function reload(scene: Scene, asking: Asking): Promise<string> {
  const reloaded = await scene.cli('reload', scene.target)
  await delay(UNDER_LOAD)
  await asking.stop()
  if (reloaded.code !== 0) return `refused, ${ratio(asking)}: ${reason(reloaded)}`
  return ratio(asking)
}

/** Kills a process that serves, and waits until another one has its place and the clients are answered. */
async function crash(scene: Scene, asking: Asking, way: Way): Promise<string> {
  const before = await scene.workers()
  const [victim] = before
  if (victim === undefined) return 'failed: there is no worker'
  const begin = performance.now()
  process.kill(victim, 'SIGKILL')
  if (way === 'launch') {
    // Nothing watches it: the next call of the tool starts it again.
    await scene.until('it is gone', async () => !(await scene.workers()).includes(victim))
    const again = await scene.start()
    if (again.code !== 0) return `failed: ${lastLine(again)}`
  }
  await scene.until('its place is taken', async () => {
    const now = await scene.workers()
    return now.length === before.length && !now.includes(victim)
  })
  const { answered } = asking
  await scene.until('it answers again', () => asking.answered > answered)
  const elapsed = performance.now() - begin
  await asking.stop()
  const lost = asking.failures.filter(each => !each.startsWith('ECONNREFUSED')).length
  return `back in ${elapsed.toFixed(0)} ms, ${lost} lost`
}

async function stop(scene: Scene, asking: Asking, { lastWords }: Program): Promise<string> {
  const before = asking.failures.length
  const stopped = await scene.cli('stop', scene.target)
  await asking.stop()
  if (stopped.code !== 0) return `failed: ${lastLine(stopped)}`
  const lost = asking.failures.slice(before).filter(each => !NOT_TAKEN.test(each))
  const left = scene.processes()
  if (left.length > 0) return `failed: processes ${left.join(', ')} are left`
  if (await scene.isOpen()) return 'failed: its port is still open'
  const log = existsSync(scene.log) ? readFileSync(scene.log, 'utf8') : ''
  if (lastWords && !lastWords.test(log)) return `failed: its own handler did not run`
  return `${lost.length} of ${asking.answered}${lost.length > 0 ? ` (${lost[0]})` : ''}`
}

// ── At the prompt ────────────────────────────────────────────────────────────────────────

/** A second start is refused, and names the first. */
async function second(scene: Scene): Promise<Finding> {
  const { code, output } = await scene.start()
  const isRefused = code === 1 && /already running as pid \d+/.test(output)
  return { text: isRefused ? 'second start' : `a second start: ${output.trim()}`, isExpected: isRefused }
}

async function mistakes(
  program: Program,
  fetched: Fetched,
  scene: Scene,
  first: Finding | undefined,
): Promise<Finding> {
  const texts = [first?.text ?? '']
  let isExpected = first?.isExpected ?? true
  for (const { what, text, env = {}, says } of program.mistakes ?? []) {
    const [script = ''] = program.run(fetched, scene.port)
    const wrong = text === undefined ? undefined : `wrong-${script}`
    const path = join(fetched.directory, wrong ?? script)
    if (text !== undefined) writeFileSync(path, text + readFileSync(join(fetched.directory, script), 'utf8'))
    const ended = await scene.startWith(env, wrong)
    if (wrong !== undefined) rmSync(path)
    const isTold = ended.code !== 0 && says.test(ended.output)
    isExpected &&= isTold
    texts.push(isTold ? what : `${what}: ${ended.code}, ${lastLine(ended)}`)
  }
  return { text: texts.join(', '), isExpected }
}

function ratio({ failures, answered }: Asking): string {
  const why = failures.length > 0 ? ` (${failures[0]})` : ''
  return `${failures.length} of ${answered + failures.length}${why}`
}

/** Gives the first sentence of what a command said last, without what is another one each time. */
function reason(ended: Ended): string {
  const [sentence = ''] = lastLine(ended).split('. ')
  return sentence.replace(/^trial: \S+: /, '').replaceAll(/:\d{4,5}\b| port \d{4,5}|^.*# /g, '')
}

function lastLine({ output }: Ended): string {
  return output.trim().split('\n').at(-1)?.trim() ?? ''
}
