import type { Measurement } from "./utils.ts";

/**
 * Reads a measurement written as `name=value`.
 *
 * @throws SyntaxError when the text is not of that form.
 */
export function parseMeasurement(text: string): Measurement {
  const match = /^(?<name>[^=]+)=(?<value>-?\d+(?:\.\d+)?)$/.exec(text.trim());
  const { name, value } = match?.groups ?? {};
  if (name === undefined || value === undefined) {
    throw new SyntaxError(`${JSON.stringify(text)} is not of the form name=value.`);
  }
  return { name, value: Number(value) };
}
