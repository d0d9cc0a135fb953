// The rounds of a measurement.

/**
 * Runs `once` as often as `count` says, after some times whose samples are dropped: until files are cached and the
 * processes that answer are warm. Gives the samples of the others, in order.
 */
export async function rounds<T>(count: number, warmUp: number, once: (round: number) => T | Promise<T>): Promise<T[]> {
  const samples: T[] = []
  for (let round = -warmUp; round < count; round++) {
    const sample = await once(round + warmUp)
    if (round >= 0) samples.push(sample)
  }
  return samples
}

/** Gives the list from another place on in each round, so that nobody always comes first. */
export function rotated<T>(list: readonly T[], round: number): T[] {
  const first = round % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}
