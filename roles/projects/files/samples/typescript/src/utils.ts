/** One number that was measured, and what it was measured of. */
export interface Measurement {
  readonly name: string;
  readonly value: number;
}

/** What a list of measurements comes to. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  readonly largest: Measurement;
}

/**
 * Sums up measurements.
 *
 * @throws RangeError when there are none.
 */
export function processData(measurements: readonly Measurement[]): Summary {
  const [first, ...others] = measurements;
  if (first === undefined) {
    throw new RangeError("There are no measurements to sum up.");
  }
  const largest = others.reduce((best, next) => (next.value > best.value ? next : best), first);
  const total = measurements.reduce((sum, one) => sum + one.value, 0);
  return { count: measurements.length, mean: total / measurements.length, largest };
}
