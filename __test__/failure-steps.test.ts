// The core names the steps at which a system call can fail; each has words for the person who reads the message.
import { constants } from 'node:os'
import test from 'ava'
import { native } from '../src/binding/addon.js'
import { DOING, explain } from '../src/errors/explain.js'

test('every step at which the core can fail has words, and no words are left over', t => {
  t.deepEqual(Object.keys(DOING).toSorted(), native.stepNames().toSorted())
})

test('the message names a control socket on which no supervisor answers', t => {
  const what = { step: 'control', syscall: 'read', errno: 110, path: '/run/daemonic/d.sock' }
  t.regex(explain(what), /^cannot ask the supervisor at \/run\/daemonic\/d\.sock: ETIMEDOUT/)
})

test('the message of a program that can’t be executed says what to do, and so does that of a full quota', t => {
  const { ENOEXEC, EDQUOT, ESTALE } = constants.errno
  const says = (step: string, errno: number) => explain({ step, syscall: 'execve', errno, path: '/srv/it' })
  t.is(
    says('exec', ENOEXEC),
    'cannot execute /srv/it: ENOEXEC, no format that this system executes; it is for another system, or a script: name its interpreter, or begin it with a line such as #!/bin/sh',
  )
  t.regex(says('log', EDQUOT), /^cannot open the log \/srv\/it: EDQUOT, disk quota exceeded; free some space there/)
  t.is(says('log', ESTALE), 'cannot open the log /srv/it: ESTALE, stale file handle')
})

test('no errno of this system is unknown', t => {
  for (const errno of Object.values(constants.errno))
    t.notRegex(explain({ step: 'log', syscall: 'open', errno }), /errno \d/)
})
