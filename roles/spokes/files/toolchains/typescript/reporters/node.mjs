// The reporter of Node's own runner: its spec for people, and its junit in a file.
import fs from 'node:fs';
import path from 'node:path';
import { junit, spec } from 'node:test/reporters';

export default async function* report(source) {
  const file = path.join(process.env.CODEBUDDY_REPORTS ?? '.', `${process.pid}-${Date.now()}.xml`);
  const events = [];
  const lines = new spec();
  const quiet = process.env.CODEBUDDY_QUIET;
  for await (const event of source) {
    events.push(event);
    lines.write(event);
    for (let line = lines.read(); line !== null; line = lines.read()) if (!quiet) yield line;
  }
  lines.end();
  for await (const line of lines) if (!quiet) yield line;
  let text = '';
  for await (const part of junit(events)) text += part;
  if (process.env.CODEBUDDY_REPORTS) fs.writeFileSync(file, text);
}
