// The core names the steps at which a system call can fail; each has words for the person who reads the message.
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
