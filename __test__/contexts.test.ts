// What `detach: 'auto'` reads from the environment, from Node and from the standard streams.
import test from 'ava'
import type { DetachContext } from 'daemonic'
import { AUTO, isAsExpected, lines, TELLING, told, toldBy } from './support/contexts.js'
import { withPython } from './support/locks.js'
import { program } from './support/program.js'
import { type RunOptions, Scene } from './support/scene.js'

const node = process.execPath

// ── The environment ──────────────────────────────────────────────────────────────────────

const JOURNAL = (fd: number) => `JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/${fd})`
const OTHER_JOURNAL = 'JOURNAL_STREAM=$(stat -L -c %d:%i "$1")'

const ENVIRONMENTS: Record<string, [assignments: string, context: DetachContext | null]> = {
  'no variable': ['', null],
  'SYSTEMD_EXEC_PID that is ours': ['SYSTEMD_EXEC_PID=$$', 'systemd'],
  'SYSTEMD_EXEC_PID of another': ['SYSTEMD_EXEC_PID=$PPID', null],
  'LISTEN_PID that is ours': ['LISTEN_PID=$$ LISTEN_FDS=0', 'systemd'],
  'LISTEN_PID of another': ['LISTEN_PID=$PPID LISTEN_FDS=0', null],
  'JOURNAL_STREAM that is our stdout': [JOURNAL(1), 'systemd'],
  'JOURNAL_STREAM that is our stderr': [JOURNAL(2), 'systemd'],
  'JOURNAL_STREAM that is our stdin': [JOURNAL(0), null],
  'JOURNAL_STREAM that is another file': [OTHER_JOURNAL, null],
  'a JOURNAL_STREAM of nonsense': ['JOURNAL_STREAM=:', null],
  'NOTIFY_SOCKET alone': ['NOTIFY_SOCKET=/nowhere', 'systemd'],
  'NOTIFY_SOCKET and SYSTEMD_EXEC_PID that is ours': ['NOTIFY_SOCKET=/nowhere SYSTEMD_EXEC_PID=$$', 'systemd'],
  'NOTIFY_SOCKET inherited from a unit': ['NOTIFY_SOCKET=/nowhere SYSTEMD_EXEC_PID=$PPID', null],
  'an empty NOTIFY_SOCKET': ['NOTIFY_SOCKET=', null],
  'all of a unit’s variables, inherited': [
    `NOTIFY_SOCKET=/nowhere SYSTEMD_EXEC_PID=$PPID LISTEN_PID=$PPID LISTEN_FDS=1 ${OTHER_JOURNAL}`,
    null,
  ],
  'XPC_SERVICE_NAME where pid 1 is not the parent': ['XPC_SERVICE_NAME=org.example.service', null],
  NODE_TEST_CONTEXT: ['NODE_TEST_CONTEXT=child-v8', 'ipc'],
  WATCH_REPORT_DEPENDENCIES: ['WATCH_REPORT_DEPENDENCIES=1', 'ipc'],
  'NODE_OPTIONS=--inspect': ['NODE_OPTIONS=--inspect=0', 'debugger'],
  'NODE_OPTIONS=--inspect-port, which opens nothing': ['NODE_OPTIONS=--inspect-port=0', null],
}

for (const [what, [assignments, context]] of Object.entries(ENVIRONMENTS)) {
  test(`with ${what} the context is ${context}`, async t => {
    const scene = new Scene(t)
    isAsExpected(t, scene, await toldBy(scene, `${assignments} exec "$0" "$1"`), context)
  })
}

test('DAEMONIC_DETACH stands in for `auto`, whatever supervises', async t => {
  for (const [detach, assignments, context] of [
    ['true', 'SYSTEMD_EXEC_PID=$$', 'systemd'],
    ['false', '', null],
  ] as const) {
    const scene = new Scene(t)
    const daemon = await toldBy(scene, `${assignments} exec "$0" "$1"`, { detach })
    t.is(daemon.context, context)
    t.is(daemon.detached, detach === 'true')
  }
})

test('but it does not for `true` and `false`', async t => {
  for (const detach of ['true', 'false'] as const) {
    const scene = new Scene(t)
    const path = program(scene, `tell('told', String(daemonize({ detach: ${detach} }).detached))`)
    const opposite = detach === 'true' ? 'false' : 'true'
    t.is((await scene.node(path, { detach: opposite })).code, 0)
    t.deepEqual(lines(scene, 'told'), [detach])
  }
})

// ── What Node knows ──────────────────────────────────────────────────────────────────────

test('a debugger that the program itself opens makes it stay', async t => {
  const scene = new Scene(t)
  const path = program(scene, `import { open } from 'node:inspector'\nopen(0)\n${TELLING}\nprocess.exit()`)
  const { code } = await scene.run('setsid', ['-w', node, path], AUTO)
  t.is(code, 0)
  isAsExpected(t, scene, await told(scene), 'debugger')
})

test('one that it has closed does not', async t => {
  const scene = new Scene(t)
  const text = `import { close, open } from 'node:inspector'\nopen(0)\nclose()\n${TELLING}`
  const { code, stderr } = await scene.run('setsid', ['-w', node, program(scene, text)], AUTO)
  t.is(code, 0, stderr)
  isAsExpected(t, scene, await told(scene), null)
})

for (const [what, before, context] of [
  ['a parent with a channel makes it stay', '', 'ipc'],
  ['a channel that it has closed does not', 'process.disconnect?.()', null],
] as const) {
  test(what, async t => {
    const scene = new Scene(t)
    const path = program(scene, `${before}\n${TELLING}\nif (!daemon.detached) process.exit()`)
    const stdio: RunOptions['stdio'] = ['ignore', 'pipe', 'pipe', 'ipc']
    const { code, stderr } = await scene.run('setsid', ['-w', node, path], { ...AUTO, stdio })
    t.is(code, 0, stderr)
    isAsExpected(t, scene, await told(scene), context)
  })
}

// ── Standard streams that say nothing ────────────────────────────────────────────────────

const NODE_PARENT = `import { spawnSync } from 'node:child_process'
import { openSync } from 'node:fs'
const [node, , program, file] = process.argv
const kinds = ['pipe', 'ignore', openSync(file, 'a+')]
for (const one of kinds) for (const two of kinds) for (const three of kinds)
  spawnSync(node, [program, [one, two, three].join()], { stdio: [one, two, three] })
`

const PYTHON_PARENT = `import itertools, subprocess, sys
program, file, node = sys.argv[1:]
kinds = [subprocess.PIPE, subprocess.DEVNULL, open(file, 'a+')]
for one, two, three in itertools.product(kinds, repeat=3):
    subprocess.run([node, program, f'{one},{two},{three}'.replace(' ', '_')], stdin=one, stdout=two, stderr=three)
`

const SHELL_PARENT = `for one in ': |' '</dev/null' '<"$2"'; do
  for two in '| cat' '>/dev/null' '>>"$2"'; do
    for three in '2> >(cat >/dev/null)' '2>/dev/null' '2>>"$2"'; do
      case $one in
        *'|') eval "$one \\"\\$3\\" \\"\\$1\\" \\"\\$one,\\$two,\\$three\\" $three $two" ;;
        *) eval "\\"\\$3\\" \\"\\$1\\" \\"\\$one,\\$two,\\$three\\" $one $three $two" ;;
      esac
    done
  done
done
`

const PARENTS: Record<string, { run: typeof test; command: string; script: string }> = {
  Node: { run: test, command: node, script: NODE_PARENT },
  Python: { run: withPython as typeof test, command: 'python3', script: PYTHON_PARENT },
  shell: { run: test, command: 'bash', script: SHELL_PARENT },
}

for (const [what, { run, command, script }] of Object.entries(PARENTS)) {
  run(`no combination of pipes, files and /dev/null from a ${what} parent looks like a supervisor’s`, async t => {
    const scene = new Scene(t)
    const path = program(scene, `tell('told', process.argv[2] + ' ' + daemonic.detachContext())`)
    const parent = scene.write(what === 'Node' ? 'parent.mjs' : 'parent', script)
    const { code, stderr } = await scene.run(
      'setsid',
      ['-w', command, parent, path, scene.write('file', ''), node],
      AUTO,
    )
    t.is(code, 0, stderr)
    const contexts = lines(scene, 'told')
    t.is(new Set(contexts).size, 27)
    t.deepEqual(
      contexts.filter(each => !each.endsWith(' null')),
      [],
    )
  })
}
