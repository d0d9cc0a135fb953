// When the program's main module has been evaluated, its top-level await included. Node has no event for that.
import { realpathSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { nextTurn } from './next-turn.js'
import { flags, isSingleExecutable } from './program.js'

/**
 * What module.registerHooks() takes and gives, as far as it is used here: Node 20's types don't know it. Contexts are handed on:
 * without one, some versions resolve by other conditions than `import`, or fail.
 */
interface Hooks {
  resolve?<C extends { parentURL?: string }>(
    name: string,
    context: C,
    next: (name: string, context: C) => { url: string },
  ): { url: string }
  load?<C>(url: string, context: C, next: (url: string, context: C) => object): object
}
type RegisterHooks = (hooks: Hooks) => { deregister(): void }

/** A flag by which a main module may be known under another URL than its file's, or be loaded late. */
const OTHER_LOADING = /^(-r|--require|--import|--loader|--experimental-loader|--preserve-symlinks)/

// Read when the library is loaded: the program may change its arguments.
const [, script] = process.argv

/**
 * Resolves when the main module has been evaluated, and the event loop has turned. Never evaluates it: where Node doesn't
 * tell, one turn has to do. A CommonJS module has been evaluated by the next turn after any line of it. `entry` resolves
 * with the main module's URL, where this runs before it.
 */
export async function mainModuleEvaluated(entry?: Promise<string>): Promise<void> {
  const watch = exitWatch()
  if (watch) await removed(watch)
  else {
    const url = entry && (await entry)
    if (entry) await nextTurn()
    // At once where this is called by the program: the file may be out of reach once user or root have changed.
    if (process.mainModule === undefined) await importedAgain(url)
  }
  await nextTurn()
}

/** Resolves, once Node has begun to load the main module, with its URL. A preload calls it; undefined where Node can't tell. */
export function entryLoaded(): Promise<string> | undefined {
  const registerHooks = hooks()
  if (!registerHooks) return undefined
  return new Promise(resolve => {
    let entry: string | undefined
    const registration = registerHooks({
      resolve(name, context, next) {
        const resolved = next(name, context)
        if (context.parentURL === undefined) entry ??= resolved.url
        return resolved
      },
      load(url, context, next) {
        if (url === entry) {
          resolve(url)
          setImmediate(() => registration.deregister())
        }
        return next(url, context)
      },
    })
  })
}

/**
 * The function by which Node, before it kept the main module's promise in C++ (22), sets the exit code of a top-level await
 * that never settles: it listens for 'exit' just as long as the main module, and what is preloaded, is evaluated.
 */
function exitWatch(): ((...args: unknown[]) => void) | undefined {
  const listeners = process.listeners('exit') as ((...args: unknown[]) => void)[]
  return listeners.find(each => each.name === 'handleProcessExit' && `${each}`.includes('TopLevelAwait'))
}

function removed(listener: unknown): Promise<void> {
  return new Promise(resolve => {
    const onRemoval = (_: string | symbol, each: unknown) => {
      if (each !== listener) return
      process.off('removeListener', onRemoval)
      resolve()
    }
    process.on('removeListener', onRemoval)
  })
}

/**
 * Imports the main module again: Node gives the same module, once it has been evaluated. Should Node know it by another
 * URL, a hook keeps it from being loaded, and so from running twice. Should it fail, Node ends the process.
 */
async function importedAgain(entry?: string): Promise<void> {
  const url = entry ?? fileUrl()
  if (url === undefined) return
  const registerHooks = hooks()
  if (!registerHooks && flags().some(flag => OTHER_LOADING.test(flag))) return
  // An entry that Node itself told is the right one, and is perhaps being loaded at this moment.
  const guard =
    entry === undefined
      ? registerHooks?.({
          load: (other, context, next) =>
            other.replace(/[?#].*/, '') === url
              ? { format: 'module', source: '', shortCircuit: true }
              : next(other, context),
        })
      : undefined
  await Promise.allSettled([import(url)])
  guard?.deregister()
}

/** The main module's URL as its file has it; undefined where that can't be told. */
function fileUrl(): string | undefined {
  if ('bun' in process.versions || 'deno' in process.versions || isSingleExecutable() || script === undefined) return
  try {
    return pathToFileURL(realpathSync(script)).href
  } catch {
    return undefined // `node app` may stand for app.js; such a module is CommonJS, as a rule
  }
}

function hooks(): RegisterHooks | undefined {
  const { registerHooks } = process.getBuiltinModule('node:module') as { registerHooks?: RegisterHooks }
  return 'deno' in process.versions ? undefined : registerHooks
}
