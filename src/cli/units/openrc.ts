// A service script of OpenRC, for its supervise-daemon(8).
import type { Service } from './service.js'

/** Makes the script, which lies in /etc/init.d. */
export function openrcScript(service: Service): string {
  const { name, command, directory, environment, environmentFiles, user, group, stopTimeout } = service
  const [program = '', ...words] = command
  const exports = Object.entries(environment).map(([key, value]) => `export ${key}=${quoted(value)}`)
  const owner = user === null ? [] : [`command_user=${quoted(group === null ? user : `${user}:${group}`)}`]
  return `${[
    '#!/sbin/openrc-run',
    '',
    `description=${quoted(name)}`,
    'supervisor=supervise-daemon',
    `command=${quoted(program)}`,
    // OpenRC reads it once more as a shell does.
    `command_args=${quoted(words.map(quoted).join(' '))}`,
    `directory=${quoted(directory)}`,
    ...owner,
    `retry="TERM/${Math.ceil(stopTimeout / 1000) + 5}/KILL/5"`,
    'rc_ulimit="-c 0"',
    `output_logger=${quoted(`logger -t ${name}`)}`,
    `error_logger=${quoted(`logger -t ${name} -p daemon.err`)}`,
    'extra_started_commands="reload"',
    ...exports,
    ...environmentFiles.flatMap(file => ['set -a', `. ${quoted(file)}`, 'set +a']),
    '',
    'depend() {',
    '\tuse net dns logger',
    '}',
    '',
    'reload() {',
    `\tebegin "Reloading $RC_SVCNAME"`,
    '\tsupervise-daemon "$RC_SVCNAME" --signal HUP',
    '\teend $?',
    '}',
  ].join('\n')}\n`
}

/** A word of a shell. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
