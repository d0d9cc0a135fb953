// A program that launch() or the supervisor started becomes the daemon before its first line, without calling daemonize().
import { pathToFileURL } from 'node:url'
import { LEAVE_OUT, packageFile } from '../binding/package-files.js'
import { DaemonError } from '../errors/classes.js'
import { normalise } from '../options/normalise.js'
import { requireStartDirectory } from '../process/program.js'
import { adopt } from './adopt.js'
import { arrive, noteOf, takeArrival } from './arrival.js'
import { inheritListening } from './inherited-listen.js'
import { register } from './registry.js'

/** What Node is told to load the preload; in a checkout seen from the bundle too. */
export function preloadFlags(): string[] {
  const url = preloadUrl()
  if (url === undefined) throw new DaemonError(BUNDLED, 'ERR_DAEMON_UNSUPPORTED')
  return ['--import', url]
}

/** Gives the address of the module that Node preloads; undefined where the library became part of another bundle. */
function preloadUrl(): string | undefined {
  return packageFile('dist/preload.js')?.href
}

const BUNDLED = `daemonic can’t start programs from inside a bundle, without its own files: ${LEAVE_OUT}`

/** What the preload calls. Not exported by the package: it is found at daemonize(). */
export function preload(): void {
  forgetFlag()
  const arrival = takeArrival()
  if (arrival === null) return
  const note = noteOf(arrival)
  // The program itself calls daemonize(): it was started by that.
  if (note.given === null) return
  const { given } = note
  const settings = normalise(given.options, true, true)
  const daemon = arrive({ ...settings, ready: 'manual' }, arrival, note)
  if (settings.ready !== 'manual') daemon.readyAfter(mainModule())
  inheritListening(daemon, settings.listen)
  register(daemon, options => adopt(daemon, options, given))
}

/** child_process.fork() and cluster would give it to their children. */
function forgetFlag(): void {
  const place = process.execArgv.indexOf(preloadUrl() ?? '')
  if (place > 0) process.execArgv.splice(place - 1, 2)
}

/**
 * Resolves when the program's main module has been evaluated, its top-level await included, and the loop has turned.
 * Nothing tells that but the module itself: imported once Node is loading it, it is the same one. A failure is Node's to
 * tell, which ends the process.
 */
async function mainModule(): Promise<void> {
  await Promise.allSettled(otherPreloads().map(each => importFrom(`${requireStartDirectory()}/`, each)))
  await turn()
  const [, script = ''] = process.argv
  if (!flags().some(flag => flag.startsWith('--preserve-symlinks')))
    await Promise.allSettled([importFrom(script, script)])
  await turn()
}

/** Node loads the main module after all that --import names. */
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

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
