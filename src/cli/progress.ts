// A line on the terminal while something takes long.
import { isTerminal, write } from './print.js'

/** How long nothing is shown, in milliseconds: a line that is gone at once would only flicker. */
const SHOWN_AFTER = 1_000
/** How often the line is redrawn, in milliseconds. */
const DRAWN_EVERY = 100
const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'

/** Awaits `work`; on a terminal a line says `what` goes on, and for how long. */
export async function whileWaiting<T>(what: string, work: Promise<T>): Promise<T> {
  const begin = performance.now()
  let isShown = false
  let count = 0
  const timer = setInterval(() => {
    const time = performance.now() - begin
    if (time < SHOWN_AFTER || (!isShown && !isTerminal(2))) return
    isShown = true
    write(2, `\r\x1b[K${FRAMES[count++ % FRAMES.length]} ${what} … ${(time / 1_000).toFixed(1)} s`)
  }, DRAWN_EVERY)
  timer.unref()
  try {
    return await work
  } finally {
    clearInterval(timer)
    if (isShown) write(2, '\r\x1b[K')
  }
}
