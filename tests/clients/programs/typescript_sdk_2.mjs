// The TypeScript SDK 2.x as a client, in the protocol era that the argument names.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { drive, HEADERS, HUB } from "./script_driver.mjs";

// The SDK lies in a folder of its own, not beside this program.
const installed = createRequire(`${process.env.SDK}/package.json`);
const { Client, StreamableHTTPClientTransport } = await import(
  pathToFileURL(installed.resolve("@modelcontextprotocol/client"))
);

const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: process.argv[2] } });
await client.connect(new StreamableHTTPClientTransport(HUB, { requestInit: { headers: HEADERS } }));
const { tools } = await client.listTools();
await drive(
  tools.map((tool) => tool.name),
  (name, args, options) => client.callTool({ name, arguments: args }, options),
);
await client.close();
