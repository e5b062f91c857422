// The few parts of Node.js that this package uses. It has no dependencies, so that it checks and runs without a network;
// once it may have some, `npm install --save-dev @types/node` takes the place of this file.

declare module "node:test" {
  export function describe(name: string, body: () => void): void;
  export function it(name: string, body: () => void | Promise<void>): void;
}

declare module "node:assert/strict" {
  interface Assert {
    equal(actual: unknown, expected: unknown, message?: string): void;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
    throws(body: () => unknown, expected?: RegExp): void;
  }
  const assert: Assert;
  export default assert;
}

declare const process: { argv: string[]; exitCode: number | undefined };
declare const console: { log(message: string): void; error(message: string): void };
