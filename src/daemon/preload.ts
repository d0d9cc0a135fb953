// The preload: a program that launch() or the supervisor started becomes the daemon before its first line runs.
import { normalise } from '../options/normalise.js'
import { entryLoaded } from '../process/main-module.js'
import { forgetPreload } from '../process/preload-flag.js'
import { adopt } from './adopt.js'
import { arrive, noteOf, takeArrival } from './arrival.js'
import { register } from './registry.js'

/** Becomes the daemon, where this process was started to. The preload finds this function at daemonize(), not as an export. */
export function preload(): void {
  forgetPreload()
  const arrival = takeArrival()
  if (arrival === null) return
  const note = noteOf(arrival)
  // Started by a daemonize() of the program itself, which will call it again.
  if (note.given === null) return
  const { given } = note
  const settings = normalise(given.options, true, true)
  const daemon = arrive(settings, arrival, note, entryLoaded())
  register(daemon, options => adopt(daemon, options, given))
}
