import { parseMeasurement } from "./parse.ts";
import { processData } from "./utils.ts";

export { parseMeasurement, processData };
export type { Measurement, Summary } from "./utils.ts";

/** Gives one line of text about measurements written as `name=value`. */
export function report(lines: readonly string[]): string {
  const summary = processData(lines.map(parseMeasurement));
  return `${summary.count} measurements, mean ${summary.mean.toFixed(2)}, largest ${summary.largest.name}`;
}
