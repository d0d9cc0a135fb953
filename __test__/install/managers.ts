// The package managers: how each installs from a registry, and runs what it installed.
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Result, Scene } from '../support/scene.js'

// Compiled to dist/__test__/install.
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const TOOLS = `${ROOT}/tools/node_modules`
const REGISTRY = process.env.DAEMONIC_TEST_REGISTRY ?? ''

export interface Manager {
  /** The command line without arguments. */
  command: readonly string[]
  /** The word for adding a package. */
  add: readonly string[]
  /** The configuration files, by name. */
  files?: Readonly<Record<string, string>>
  /** What comes before `node`, or a command of an installed package. */
  exec: readonly string[]
  /** Whether it makes a directory node_modules. */
  hasNodeModules: boolean
}

const YARN = ['node', `${TOOLS}/@yarnpkg/cli-dist/bin/yarn.js`]
const BUN = bunExecutable()

export const MANAGERS: Readonly<Record<string, Manager>> = {
  npm: { command: ['npm'], add: ['install'], exec: ['npm', 'exec', '--offline', '--'], hasNodeModules: true },
  pnpm: {
    command: ['node', `${TOOLS}/pnpm/bin/pnpm.cjs`],
    add: ['add'],
    exec: ['node', `${TOOLS}/pnpm/bin/pnpm.cjs`, 'exec'],
    hasNodeModules: true,
  },
  'yarn, node-modules': {
    command: YARN,
    add: ['add'],
    files: { '.yarnrc.yml': yarnrc('node-modules') },
    exec: [...YARN, 'exec'],
    hasNodeModules: true,
  },
  "yarn, Plug'n'Play": {
    command: YARN,
    add: ['add'],
    files: { '.yarnrc.yml': yarnrc('pnp') },
    exec: [...YARN, 'exec'],
    hasNodeModules: false,
  },
  bun: {
    command: [BUN],
    add: ['add'],
    files: { 'bunfig.toml': `[install]\nregistry = "${REGISTRY}"\n` },
    exec: [BUN, 'x', '--no-install'],
    hasNodeModules: true,
  },
}

/** A project of an ordinary user or of root, in which commands see nothing of this checkout but the registry. */
export class Project {
  readonly #scene: Scene
  readonly #uid: number | undefined

  constructor(scene: Scene, uid?: number) {
    this.#scene = scene
    this.#uid = uid
    if (uid !== undefined) scene.giveTo(uid)
  }

  run([command = '', ...args]: readonly string[], more: readonly string[] = []): Promise<Result> {
    const ids = this.#uid === undefined ? {} : { uid: this.#uid, gid: this.#uid }
    return this.#scene.run(command, [...args, ...more], { ...ids, env: this.#environment() })
  }

  #environment(): Record<string, string | undefined> {
    const home = this.#scene.path('home')
    // What `npm run` sets for this test would be taken for the user's configuration.
    const ofNpm = Object.keys(process.env).filter(name => /^(npm_|YARN_|BUN_|COREPACK_)/i.test(name))
    return {
      ...Object.fromEntries(ofNpm.map(name => [name, undefined])),
      PATH: (process.env.PATH ?? '')
        .split(delimiter)
        .filter(directory => !directory.includes('node_modules') && !existsSync(join(directory, 'cargo')))
        .join(delimiter),
      HOME: home,
      XDG_STATE_HOME: `${home}/state`,
      XDG_CACHE_HOME: `${home}/cache`,
      npm_config_registry: REGISTRY,
      npm_config_cache: `${home}/npm`,
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
      NODE_OPTIONS: undefined,
      CI: undefined,
    }
  }
}

function yarnrc(linker: string): string {
  return `nodeLinker: ${linker}
npmRegistryServer: "${REGISTRY.replace(/\/$/, '')}"
unsafeHttpWhitelist: ["127.0.0.1"]
enableTelemetry: false
enableImmutableInstalls: false
# A version published a minute ago is what is installed here.
npmMinimalAgeGate: 0
`
}

/** Bun's package has one of its own for each platform: its install script would link the fitting one. */
function bunExecutable(): string {
  const packages = existsSync(`${TOOLS}/@oven`) ? readdirSync(`${TOOLS}/@oven`) : []
  const fitting = packages.find(name => name === `bun-${process.platform}-${process.arch}`)
  return `${TOOLS}/@oven/${fitting}/bin/bun`
}
