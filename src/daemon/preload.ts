// The preload: a program that launch() or the supervisor started becomes the daemon before its first line runs.
import { pathToFileURL } from 'node:url'
import { normalise } from '../options/normalise.js'
import { nextTurn } from '../process/next-turn.js'
import { forgetPreload } from '../process/preload-flag.js'
import { requireStartDirectory } from '../process/program.js'
import { adopt } from './adopt.js'
import { arrive, noteOf, takeArrival } from './arrival.js'
import { inheritListening } from './inherited-listen.js'
import { register } from './registry.js'

/** Becomes the daemon, where this process was started to. The preload finds this function at daemonize(), not as an export. */
export function preload(): void {
  forgetPreload()
  const arrival = takeArrival()
  if (arrival === null) return
  const note = noteOf(arrival)
  // Started by a daemonize() of the program itself, which will call it again.
  if (note.given === null) return
  const { given } = note
  const settings = normalise(given.options, true, true)
  const daemon = arrive({ ...settings, ready: 'manual' }, arrival, note)
  if (settings.ready !== 'manual') daemon.readyAfter(mainModule())
  inheritListening(daemon, settings.listen)
  register(daemon, options => adopt(daemon, options, given))
}

/**
 * Resolves when the program's main module has been evaluated, its top-level await included, and the loop has turned.
 * Node has no event for that. But importing the main module while Node loads it gives the same module, not a second one,
 * and resolves when it has been evaluated. Should it fail, Node ends the process.
 */
async function mainModule(): Promise<void> {
  await Promise.allSettled(otherPreloads().map(each => importFrom(`${requireStartDirectory()}/`, each)))
  await nextTurn()
  const [, script = ''] = process.argv
  if (!flags().some(flag => flag.startsWith('--preserve-symlinks')))
    await Promise.allSettled([importFrom(script, script)])
  await nextTurn()
}

/** Lists the modules of other --import flags: Node loads the main module after them. */
function otherPreloads(): string[] {
  const all = flags()
  return all.flatMap((flag, index) => {
    const name = flag === '--import' ? all[index + 1] : /^--import=(.*)$/.exec(flag)?.[1]
    return name === undefined ? [] : [name]
  })
}

function flags(): string[] {
  return [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)]
}

async function importFrom(base: string, name: string): Promise<void> {
  const { createRequire } = process.getBuiltinModule('node:module')
  const isUrl = /^[a-z]{2,}:/.test(name)
  await import(isUrl ? name : pathToFileURL(createRequire(base).resolve(name)).href)
}
