// Text of a daemon on a terminal: it must not move the cursor, set the title, fill the clipboard or turn words around.

/** A colour or another rendition: ECMA-48, SGR. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the sequence begins with one
const RENDITION = /^\x1b\[[\d;:]*m$/
/** Renditions, control characters (C1 is obeyed by some terminals), and those that change the order of what is shown. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const SPECIAL = /\x1b\[[\d;:]*m|[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu
/** The special characters that JSON.stringify() leaves as they are. */
const SPECIAL_IN_JSON = /[\x7f-\x9f\p{Bidi_Control}\u2028\u2029]/gu
const RESET = '\x1b[0m'

/** Keeps colours, tabs and newlines; each other control character is written as an escape, `\x1b`. */
export function visible(text: string): string {
  let isColored = false
  const clean = text.replaceAll(SPECIAL, found => {
    if (found === '\n' || found === '\t') return found
    if (!RENDITION.test(found)) return escaped(found)
    isColored = true
    return found
  })
  return isColored && !clean.endsWith(RESET) ? `${clean}${RESET}` : clean
}

/** Writes plain text for one line: no control character stays, colours among them. */
export function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]+/gu, ' ')
}

/** Writes JSON in which no character is left that a terminal obeys. */
export function json(value: object): string {
  return JSON.stringify(value).replaceAll(SPECIAL_IN_JSON, found => `\\u${hex(found, 4)}`)
}

function escaped(character: string): string {
  const length = character > '\xff' ? 4 : 2
  return `\\${length === 4 ? 'u' : 'x'}${hex(character, length)}`
}

function hex(character: string, length: number): string {
  return character.charCodeAt(0).toString(16).padStart(length, '0')
}
