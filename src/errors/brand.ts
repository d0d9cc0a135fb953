// The brand of this library's errors, by which they are recognised where several copies of the library are loaded.

const LIBRARY = 'DaemonError'

type Family = abstract new (...given: never) => object

/**
 * Makes `instanceof` recognise errors of this class from every copy of the library, by the name that all copies give it.
 * Classes that others derive from it are recognised as ever.
 */
export function brand(family: Family, name: string): void {
  const mark = markOf(name)
  Object.defineProperty(family.prototype, mark, { value: true })
  // The command's bundle shortens the names of classes, by which errors are called.
  Object.defineProperty(family, 'name', { value: name })
  Object.defineProperty(family, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      return this === family ? isMarked(value, mark) : Function.prototype[Symbol.hasInstance].call(this, value)
    },
  })
}

/** Whether a thrown value is an error of this library, of whichever copy. */
export function isOfLibrary(value: unknown): boolean {
  return isMarked(value, markOf(LIBRARY))
}

function markOf(name: string): symbol {
  return Symbol.for(`daemonic.${name}`)
}

function isMarked(value: unknown, mark: symbol): boolean {
  return typeof value === 'object' && value !== null && mark in value
}
