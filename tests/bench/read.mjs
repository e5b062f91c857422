// Reads a file with the TypeScript SDK from the hub over HTTP and from the filesystem server over stdio, in turn; prints
// the milliseconds of each read. The program is read from standard input where the SDK is installed.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { url, token, command, ours, theirs, rounds } = JSON.parse(process.argv[2]);
const hub = new Client({ name: "bench", version: "1" });
const files = new Client({ name: "bench", version: "1" });
const headers = { Authorization: `Bearer ${token}` };
await hub.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
await files.connect(new StdioClientTransport({ command: command[0], args: command.slice(1), stderr: "ignore" }));
for (const client of [hub, files]) await client.listTools(); // as agents do: the SDK checks answers only then

const times = { http: [], stdio: [] };
const reads = [
  [hub, { name: "read_file", arguments: ours }, times.http],
  [files, { name: "read_text_file", arguments: theirs }, times.stdio],
];
for (let round = 0; round < rounds; round += 1) {
  if (Math.random() < 0.5) reads.reverse(); // what comes after a certain read may be slower by that
  for (const [client, call, taken] of reads) {
    const begun = performance.now();
    const answer = await client.callTool(call);
    taken.push(performance.now() - begun);
    if (answer.isError) throw new Error(JSON.stringify(answer));
  }
}
await hub.close();
await files.close();
console.log(JSON.stringify(times));
