// Preloaded into a program: answers to `?slow` begin at once, and end a while later, so that there is always one under way.
import { ServerResponse } from 'node:http'

/** Milliseconds. */
const LATER = 200

const { end } = ServerResponse.prototype
ServerResponse.prototype.end = function (this: ServerResponse, ...args: unknown[]) {
  const finish = () => Reflect.apply(end, this, args)
  if (!this.req.url?.endsWith('?slow')) return finish()
  this.flushHeaders()
  setTimeout(finish, LATER)
  return this
} as typeof end
