// Changes to the environment: what follows from the user, and the `env` option.
import type { EnvironmentChange } from '#native'
import { entries, expected } from './values.js'

/** The changes that `env` asks for, after those of the user's that it doesn't name. @throws OptionError */
export function normaliseEnvironment(ofUser: readonly EnvironmentChange[], env: unknown): EnvironmentChange[] {
  const given = entries('env', env, true).map(([name, value]) => change(name, value))
  const isGiven = ({ name }: EnvironmentChange) => given.some(each => each.name === name)
  return [...ofUser.filter(each => !isGiven(each)), ...given]
}

function change(name: string, value: unknown): EnvironmentChange {
  const option = `env.${name}`
  if (name === '' || name.includes('=') || name.includes('\0')) throw expected(option, 'named without = and NUL', name)
  if (value === undefined) return { name }
  if (typeof value !== 'string' || value.includes('\0'))
    throw expected(option, 'a string without NUL, or undefined', value)
  return { name, value }
}
