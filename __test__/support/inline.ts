// Programs whose few lines are the case itself: a test writes them into its scene.
import { inspect } from 'node:util'
import type { DaemonizeOptions } from 'daemonic'
import { LIBRARY } from './program.js'
import type { Program, Scene } from './scene.js'

const STAY = 'setInterval(() => {}, 1_000_000)'
const PROLOGUE = `import * as fs from 'node:fs'
const here = import.meta.dirname
const tell = (file, text) => fs.appendFileSync(here + '/' + file, text + '\\n')
`

/** A program that may become a daemon: `become()` makes it one with the pid file d.pid. */
export function inline(scene: Scene, text: string): Program {
  const become = `const become = more => daemonize({ name: 'd', pidFile: './d.pid', log: './d.log', ...more })
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))`
  return [scene.write('program.mjs', `import { daemonize } from '${LIBRARY}'\n${PROLOGUE}${become}\n${text}\n`)]
}

/** A program that is a daemon with these options, and stays. */
export function become(scene: Scene, options: DaemonizeOptions, text = ''): Program {
  return inline(scene, `const daemon = become(${inspect(options, { depth: null })})\n${text}\n${STAY}`)
}

/** A program that knows nothing of daemons, and stays; its name is d. */
export function plain(scene: Scene, text: string): Program {
  return [scene.write('d.mjs', `${PROLOGUE}${text}\n${STAY}\n`)]
}
