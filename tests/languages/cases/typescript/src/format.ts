export function format(value: number): string;
export function format(value: string, width: number): string;
export function format(value: number | string, width = 0): string {
  return String(value).padStart(width);
}
