// The process title, which ps shows.
import { native } from '../binding/addon.js'

/** Sets the title. Node.js has room for one as long as the command line; the rest of a longer one goes where the marker was. */
export function setTitle(title: string): void {
  process.title = title
  if (process.title !== title) native.setTitle(title)
}
