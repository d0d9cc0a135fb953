// A private key in two files. It is made once; from then on each file restores the other, and neither is written over.
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'

/** Something about the key that its administrator has to mend. */
export class KeyTrouble extends Error {}

export interface Owner {
  uid: number
  gid: number
}

/** The key, from whichever file has it; afterwards both have. `tell` hears of a file that was made. */
export function ensureKey(
  [path, backup]: [path: string, backup: string],
  owner: Owner,
  tell: (text: string) => void,
): string {
  const found = read(path)
  const saved = read(backup)
  if (found !== null && saved !== null && found !== saved) {
    throw new KeyTrouble(`${path} and ${backup} hold different keys: move the wrong one away`)
  }
  const key = found ?? saved ?? generate()
  // The backup first: a crash in between leaves the one file from which the other is made next time.
  if (saved === null) create(backup, key, owner)
  if (found === null) create(path, key, owner)
  if (found === null && saved === null) tell(`no key yet: made one, in ${path} and ${backup}`)
  else if (found === null) tell(`${path} was lost: restored it from ${backup}`)
  else if (saved === null) tell(`${backup} was lost: restored it from ${path}`)
  return key
}

/** By name, in whatever database this host has: id(1) asks them all. */
export function ownerOf(user: string): Owner {
  const id = (flag: string) => Number(execFileSync('id', [flag, '--', user], { encoding: 'utf8', stdio: 'pipe' }))
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    throw new KeyTrouble(`there is no user ${user}`)
  }
}

function generate(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey
}

/** Null if there is no such file. Never through a symbolic link: we are root, and somebody else may have put it there. */
function read(path: string): string | null {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      return readFileSync(file, 'utf8')
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw trouble('read', path, error)
  }
}

/**
 * All of the key or no file, readable by its owner alone from the first moment, and never in the place of another: the
 * draft is O_EXCL, and link(2), unlike rename(2), fails where a file is.
 */
function create(path: string, key: string, { uid, gid }: Owner): void {
  const draft = `${path}.${process.pid}`
  try {
    const file = openSync(draft, 'wx', 0o400)
    try {
      fchmodSync(file, 0o400) // whatever the umask took
      writeFileSync(file, key)
      fchownSync(file, uid, gid)
      fsyncSync(file)
      linkSync(draft, path)
    } finally {
      closeSync(file)
      rmSync(draft)
    }
  } catch (error) {
    throw trouble('create', path, error)
  }
}

function trouble(what: string, path: string, error: unknown): KeyTrouble {
  return new KeyTrouble(`cannot ${what} the key ${path}: ${(error as Error).message}`, { cause: error })
}
