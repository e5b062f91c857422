// The TypeScript SDK 1.x as a client.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { drive, HEADERS, HUB, PROCESS } from "./script_driver.mjs";

// The SDK lies in a folder of its own, not beside this program.
const installed = createRequire(`${process.env.SDK}/package.json`);
const load = (name) => import(pathToFileURL(installed.resolve(name)));
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

const client = new Client({ name: "test", version: "1" });
const [command, ...args] = PROCESS;
await client.connect(
  command
    ? new StdioClientTransport({ command, args, env: process.env })
    : new StreamableHTTPClientTransport(HUB, { requestInit: { headers: HEADERS } }),
);
const { tools } = await client.listTools();
await drive(
  tools.map((tool) => tool.name),
  (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
);
await client.close();
