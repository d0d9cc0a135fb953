// What `detach: 'auto'` reads from the environment, from Node and from the standard streams.
import test from 'ava'
import type { DetachContext } from 'daemonic'
import { AUTO, contexts, isAsExpected, lines, told, toldBy } from './support/contexts.js'
import { withPython } from './support/locks.js'
import { fixture, type RunOptions, Scene, script } from './support/scene.js'

const node = process.execPath

// ── The environment ──────────────────────────────────────────────────────────────────────

const JOURNAL = (fd: number) => `JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/${fd})`
const OTHER_JOURNAL = 'JOURNAL_STREAM=$(stat -L -c %d:%i "$2")'

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
    isAsExpected(t, scene, await toldBy(scene, `${assignments} exec "$@"`), context)
  })
}

test('DAEMONIC_DETACH stands in for `auto`, whatever supervises', async t => {
  for (const [detach, assignments, context] of [
    ['true', 'SYSTEMD_EXEC_PID=$$', 'systemd'],
    ['false', '', null],
  ] as const) {
    const scene = new Scene(t)
    const daemon = await toldBy(scene, `${assignments} exec "$@"`, { detach })
    t.is(daemon.context, context)
    t.is(daemon.detached, detach === 'true')
  }
})

test('but it does not for `true` and `false`', async t => {
  for (const detach of ['true', 'false'] as const) {
    const scene = new Scene(t)
    const telling = contexts('tellsWhetherItDetached', { detach: detach === 'true' })
    const opposite = detach === 'true' ? 'false' : 'true'
    t.is((await scene.node(telling, { detach: opposite })).code, 0)
    t.deepEqual(lines(scene, 'told'), [detach])
  }
})

// ── What Node knows ──────────────────────────────────────────────────────────────────────

test('a debugger that the program itself opens makes it stay', async t => {
  const scene = new Scene(t)
  const { code } = await scene.run('setsid', ['-w', node, ...contexts('tellsBesideItsDebugger', false)], AUTO)
  t.is(code, 0)
  isAsExpected(t, scene, await told(scene), 'debugger')
})

test('one that it has closed does not', async t => {
  const scene = new Scene(t)
  const telling = contexts('tellsBesideItsDebugger', true)
  const { code, stderr } = await scene.run('setsid', ['-w', node, ...telling], AUTO)
  t.is(code, 0, stderr)
  isAsExpected(t, scene, await told(scene), null)
})

for (const [what, isClosed, context] of [
  ['a parent with a channel makes it stay', false, 'ipc'],
  ['a channel that it has closed does not', true, null],
] as const) {
  test(what, async t => {
    const scene = new Scene(t)
    const telling = contexts('tellsBesideItsChannel', isClosed)
    const stdio: RunOptions['stdio'] = ['ignore', 'pipe', 'pipe', 'ipc']
    const { code, stderr } = await scene.run('setsid', ['-w', node, ...telling], { ...AUTO, stdio })
    t.is(code, 0, stderr)
    isAsExpected(t, scene, await told(scene), context)
  })
}

// ── Standard streams that say nothing ────────────────────────────────────────────────────

const PARENTS: Record<string, { run: typeof test; command: readonly string[] }> = {
  Node: { run: test, command: [node, fixture('scripts/starts-with-every-stdio')] },
  Python: { run: withPython as typeof test, command: ['python3', script('starts-with-every-stdio.py')] },
  shell: { run: test, command: ['bash', script('starts-with-every-stdio.bash')] },
}

for (const [what, { run, command }] of Object.entries(PARENTS)) {
  run(`no combination of pipes, files and /dev/null from a ${what} parent looks like a supervisor’s`, async t => {
    const scene = new Scene(t)
    const argv = [...command, scene.write('file', ''), node, fixture('scripts/tells-context')]
    const { code, stderr } = await scene.run('setsid', ['-w', ...argv], AUTO)
    t.is(code, 0, stderr)
    const found = lines(scene, 'told')
    t.is(new Set(found).size, 27)
    t.deepEqual(
      found.filter(each => !each.endsWith(' null')),
      [],
    )
  })
}
