#!/usr/bin/env bash
# @modelcontextprotocol/sdk 1.32.2 (TypeScript): Client.callTool checks a result's structuredContent against the tool's
# outputSchema although the result says isError. A server that describes a failure in structuredContent {code, message}
# loses it: the caller gets "MCP error -32602: Structured content does not match the tool's output schema", and of the
# text of the failure nothing. A failure without structuredContent arrives as it is. @modelcontextprotocol/client 2.4.0
# lets both through. What to do: no structuredContent on failures, but the code in the text and in _meta.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
npm install --silent --no-save @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0 > /dev/null
cat > server.mjs <<'END'
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
const outputSchema = { type: "object", properties: { size: { type: "integer" } }, required: ["size"] };
const server = new Server({ name: "demo", version: "1" }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, async () => ({
  tools: ["structured", "plain"].map((name) => ({ name, inputSchema: { type: "object" }, outputSchema })),
}));
server.setRequestHandler(CallToolRequestSchema, async ({ params }) => ({
  isError: true,
  content: [{ type: "text", text: "not_found: there is no such file" }],
  ...(params.name === "structured" ? { structuredContent: { code: "not_found" } } : {}),
}));
await server.connect(new StdioServerTransport());
END
cat > client.mjs <<'END'
const two = process.argv[2] === "2";
const { Client } = await import(two ? "@modelcontextprotocol/client" : "@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await import(
  two ? "@modelcontextprotocol/client/stdio" : "@modelcontextprotocol/sdk/client/stdio.js"
);
const client = new Client({ name: "demo", version: "1" });
await client.connect(new StdioClientTransport({ command: "node", args: ["server.mjs"] }));
await client.listTools();
for (const name of ["structured", "plain"]) {
  const seen = await client.callTool({ name }).then((result) => result.content[0].text, (error) => error.message);
  console.log(`SDK ${process.argv[2]}, ${name}: ${seen.slice(0, 90)}`);
}
await client.close();
END
seen=$(node client.mjs 1; node client.mjs 2)
echo "$seen"
grep -q "SDK 1, structured: MCP error -32602: Structured content does not match" <<< "$seen"
grep -q "SDK 1, plain: not_found: there is no such file" <<< "$seen"
grep -q "SDK 2, structured: not_found: there is no such file" <<< "$seen"
grep -q "SDK 2, plain: not_found: there is no such file" <<< "$seen"
