// What programs noted in the file of marks (programs/mark.ts).
import { appendFileSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { World } from './world.js'

export interface Mark {
  pid: number
  name: string
  /** Milliseconds of the monotonic clock. */
  time: number
}

/** Milliseconds. */
const DEADLINE = 60_000
const LOOK_EVERY = 5

export class Marks {
  readonly path: string

  constructor(world: World, name = 'marks') {
    this.path = world.path(name)
    this.clear()
  }

  clear(): void {
    rmSync(this.path, { force: true })
    appendFileSync(this.path, '')
  }

  named(name: string): Mark[] {
    const lines = readFileSync(this.path, 'utf8').trimEnd().split('\n')
    return lines
      .map(line => line.split(' '))
      .filter(fields => fields[1] === name)
      .map(([pid, , time]) => ({ pid: Number(pid), name, time: Number(time) / 1e6 }))
  }

  /** Resolves with the marks of that name once there are so many. */
  async wait(name: string, count = 1): Promise<Mark[]> {
    return until(`${count} marks '${name}'`, () => {
      const marks = this.named(name)
      return marks.length >= count ? marks : undefined
    })
  }
}

/** What `condition` gives as soon as it gives something. */
export async function until<T>(
  what: string,
  condition: () => T | undefined,
  { deadline = DEADLINE, every = LOOK_EVERY } = {},
): Promise<T> {
  for (const end = Date.now() + deadline; ; ) {
    const value = condition()
    if (value !== undefined) return value
    if (Date.now() > end) throw new Error(`waited ${deadline} ms in vain for ${what}`)
    await delay(every)
  }
}
