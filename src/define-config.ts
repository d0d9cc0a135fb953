// What `daemonic --config FILE` reads.
import type { LaunchOptions } from './option-types.js'

/** A daemon in a configuration: what it runs, and how. */
export interface DaemonConfig extends LaunchOptions {
  /** A Node.js program, run by `interpreter`. A relative path starts at the configuration's directory. */
  script?: string | undefined
  /** Any executable, instead of `script`. */
  program?: string | undefined
}

/** A configuration: its daemons by name. */
export interface Config {
  daemons: Readonly<Record<string, DaemonConfig>>
}

/**
 * Returns the configuration as it is, and gives it its type: `export default defineConfig({ daemons: { web: { script: 'server.js', workers: 2 } } })`.
 * Relative paths in it start at the file's directory, where its daemons work too unless they have a `chdir`.
 */
export function defineConfig(config: Config): Config {
  return config
}
