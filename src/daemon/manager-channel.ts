// What the daemon tells the service manager that started it. Under a supervisor that speaks to the manager, not its workers.
import type { ServiceManager } from '#native'
import { serviceManager } from '../process/service-manager.js'

/** Milliseconds beyond stopTimeout after which the process has exited. */
const EXITING = 1_000

/** The daemon's word to its service manager. Without one, nothing is said. */
export class ManagerChannel {
  readonly #manager: ServiceManager | null = serviceManager()
  readonly #beat: NodeJS.Timeout | undefined

  constructor() {
    const { watchdog = null } = this.#manager ?? {}
    if (watchdog === null) return
    this.#manager?.alive()
    // The manager's manual asks for half of the time, since one beat may be late.
    this.#beat = setInterval(() => this.#manager?.alive(), watchdog / 2).unref()
  }

  ready(): void {
    this.#manager?.ready()
  }

  status(text: string): void {
    this.#manager?.status(text)
  }

  /** Tells that the daemon reloads; ready() follows. */
  reloading(): void {
    this.#manager?.reloading()
  }

  /** Tells that the daemon stops, within so many milliseconds. */
  stopping(within: number): void {
    this.#manager?.stopping(within + EXITING)
  }

  /** Says no more that the event loop turns. */
  close(): void {
    clearInterval(this.#beat)
  }
}
