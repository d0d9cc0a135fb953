// Tests that need root: to become somebody else, to mount, to change the root.
import test, { type Implementation } from 'ava'

/** Runs as root; an ordinary user is told why it is skipped; CI must run as root. */
export function asRoot(title: string, body: Implementation<[]>): void {
  if (process.getuid?.() === 0) {
    test(title, body)
    return
  }
  test(title, t => {
    t.log('skipped: only root can become somebody else, mount, or change its root')
    t.falsy(process.env.CI, 'CI must run as root')
  })
}
