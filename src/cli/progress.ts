// A line on the terminal while something takes its time.
import { isTerminal, write } from './print.js'

/** Before that a line would only flicker; milliseconds. */
const PATIENCE = 300
const EVERY = 100
const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'

export async function whileWaiting<T>(what: string, work: Promise<T>): Promise<T> {
  const begin = performance.now()
  let isShown = false
  let count = 0
  const timer = setInterval(() => {
    const time = performance.now() - begin
    if (time < PATIENCE || (!isShown && !isTerminal(2))) return
    isShown = true
    write(2, `\r\x1b[K${FRAMES[count++ % FRAMES.length]} ${what} … ${(time / 1_000).toFixed(1)} s`)
  }, EVERY)
  timer.unref()
  try {
    return await work
  } finally {
    clearInterval(timer)
    if (isShown) write(2, '\r\x1b[K')
  }
}
