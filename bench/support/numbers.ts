// What is made of samples.

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const place = (sorted.length - 1) * share
  const below = sorted[Math.floor(place)] ?? Number.NaN
  const above = sorted[Math.ceil(place)] ?? Number.NaN
  return below + (above - below) * (place - Math.floor(place))
}

export function ms(value: number, digits = 1): string {
  return `${value.toFixed(digits)} ms`
}

/** `met`, or how it was missed. */
export function verdict(met: boolean): string {
  return met ? 'met' : 'MISSED'
}
