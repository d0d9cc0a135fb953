// Holds, waits for and releases the pid file at $PID_FILE, as its parent orders, and answers with the moments.
import { PidLock } from 'daemonic'
import { now } from '../support/clock.js'
import type { Moments, Order } from '../support/waiters.js'

/** Milliseconds: a report must not take the processor from the others' hand-overs. */
const REPORT_AFTER = 300

const path = process.env.PID_FILE ?? ''
let lock: PidLock | undefined

const ORDERS: Record<Order, () => Promise<void>> = {
  async hold() {
    lock = PidLock.acquire(path)
    tell({ got: now() })
  },
  async release() {
    const letGo = now()
    lock?.release()
    tell({ letGo, done: now() })
  },
  /** Waits, and keeps it. */
  async wait() {
    lock = await PidLock.wait(path)
    tell({ got: now() })
  },
  /** Waits, and passes it on at once. */
  async pass() {
    const won = await PidLock.wait(path)
    const got = now()
    won.release()
    const done = now()
    setTimeout(tell, REPORT_AFTER, { got, letGo: got, done })
  },
}

function tell(moments: Moments): void {
  process.send?.(moments)
}

process.on('message', order => void ORDERS[order as Order]())
process.on('disconnect', () => process.exit()) // its parent is gone
