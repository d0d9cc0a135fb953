// Commands that start the plain server in the background: ours and others, behind one face.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { daemonic } from './command.js'
import { debianProgram, npmPackage } from './fetched.js'
import type { Pm2 } from './supervisors.js'
import { program, type World } from './world.js'

export interface Starter {
  name: string
  /** Whether the command ends only when the server is ready. */
  waits: boolean
  start: readonly string[]
  /** Without one it is enough to kill the server. */
  stop?: readonly string[]
  env?: NodeJS.ProcessEnv
}

const FOREVER_VERSION = '4.0.3'
const DAEMONIZE_PROCESS_VERSION = '4.1.1'

export function ours(world: World): Starter {
  const options = ['--pid-file', world.pidFile, '--log', world.path('log')]
  return {
    name: 'daemonic',
    waits: true,
    start: [...daemonic(), 'start', ...options, program('plain')],
    stop: [...daemonic(), 'stop', world.pidFile],
  }
}

/** All that can be had here. */
export function others(world: World, pm2: Pm2 | null): Starter[] {
  return [pm2 && warmPm2(pm2), forever(world), daemonizeProcess(world), ...native(world)].filter(each => each !== null)
}

/** The daemon that it would start runs already. */
function warmPm2(pm2: Pm2): Starter {
  return {
    name: 'pm2, warm',
    waits: false,
    start: [pm2.command, 'start', program('plain'), '--name', 'web'],
    stop: [pm2.command, 'delete', 'web'],
    env: pm2.env,
  }
}

function forever(world: World): Starter | null {
  const directory = npmPackage(world, 'forever', FOREVER_VERSION)
  if (directory === null) return null
  const command = join(directory, 'node_modules/.bin/forever')
  const root = world.path('forever')
  mkdirSync(root)
  return {
    name: 'forever',
    waits: false,
    start: [command, 'start', '-l', join(root, 'log'), '-a', program('plain')],
    stop: [command, 'stopall'],
    env: { FOREVER_ROOT: root },
  }
}

/** A library: its program starts itself again. */
function daemonizeProcess(world: World): Starter | null {
  const directory = npmPackage(world, 'daemonize-process', DAEMONIZE_PROCESS_VERSION)
  if (directory === null) return null
  const script = join(directory, 'server.mjs')
  const lines = ["import { daemonizeProcess } from 'daemonize-process'", 'daemonizeProcess()']
  writeFileSync(script, `${[...lines, `await import('${program('plain')}')`].join('\n')}\n`)
  return { name: 'daemonize-process', waits: false, start: [process.execPath, script] }
}

function native(world: World): (Starter | null)[] {
  const server = [process.execPath, program('plain')]
  const daemon = debianProgram(world, 'daemon')
  const daemonize = debianProgram(world, 'daemonize')
  const startStop = debianProgram(world, 'start-stop-daemon')
  const pidFile = world.path('other.pid')
  const background = ['--start', '--background', '--make-pidfile', '--pidfile', pidFile]
  return [
    daemon && {
      name: 'daemon (libslack)',
      waits: false,
      start: [...daemon, '--pidfiles', world.directory, '--name', 'other', '--', ...server],
    },
    startStop && {
      name: 'start-stop-daemon',
      waits: false,
      start: [...startStop, ...background, '--startas', server[0] ?? '', '--', server[1] ?? ''],
    },
    daemonize && { name: 'daemonize (bmc)', waits: false, start: [...daemonize, '-p', pidFile, ...server] },
  ]
}
