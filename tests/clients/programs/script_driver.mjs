// Asks the scripted model for tool calls, as an agent without a model would (see real_clients/wires/plain.py).
// An interrupt cancels the call in flight, and the script goes on.

export const HUB = new URL(process.env.HUB_URL);
export const PROCESS = JSON.parse(process.env.HUB_PROCESS);
export const HEADERS = { Authorization: `Bearer ${process.env.HUB_TOKEN}` };

let current;
process.on("SIGINT", () => current?.abort());

/** Does what the script says; `call` calls a tool by name with arguments and the SDK's own options for a request. */
export async function drive(tools, call) {
  const results = {};
  for (;;) {
    const answer = await fetch(`${process.env.MODEL_URL}/plain`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ tools, results }),
    });
    const asked = await answer.json();
    if (asked === null) return;
    results[asked.id] = await carryOut(asked, call);
  }
}

async function carryOut(asked, call) {
  const progress = [];
  current = new AbortController();
  const onprogress = (seen) => progress.push([seen.progress, seen.message]);
  try {
    return { answer: await call(asked.tool, asked.arguments, { signal: current.signal, onprogress }), progress };
  } catch (error) {
    return current.signal.aborted ? { cancelled: true } : { exception: `${error.name}: ${error.message}`, progress };
  } finally {
    current = undefined;
  }
}
