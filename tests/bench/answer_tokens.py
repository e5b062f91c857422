"""Counts the tokens of typical answers, as text and as JSON: some clients show a model only one of the two forms.

Runs on the scenarios' fleet, whose projects hold the samples; it writes one file and deletes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hub/src"), str(ROOT / "tests/support")]

import ansible.module_utils  # noqa: E402

ansible.module_utils.__path__ += [str(folder) for folder in sorted(ROOT.glob("roles/*/module_utils"))]

from websockets.sync.client import connect  # noqa: E402

from codebuddy_testing.deployment import Deployment  # noqa: E402
from codebuddy_testing.tokens import TOKENIZER, count_tokens  # noqa: E402

UTILS, PARSE = "project-a/src/utils.ts", "project-a/src/parse.ts"
PROCESSING, APP = "project-b/src/service/processing.py", "project-b/src/service/app.py"
NOTES = "project-b/notes.py"
TEXT = "from service.processing import process_data\n\n\ndef largest(numbers):\n    return process_data(numbers)\n"
RENAMED = [{"old_text": "def largest", "new_text": "def greatest"}]

# Each tool call, in this order; {edit_id} and {job_id} are those of the answers before.
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list_projects", {}),
    ("list_directory", {"path": "project-a", "depth": 3}),
    ("find_files", {"pattern": "*.{ts,py,rs}"}),
    ("read_file", {"path": UTILS}),
    ("read_file", {"path": APP, "start_line": 1, "end_line": 30}),
    ("search_text", {"pattern": "measurements to sum up"}),
    ("search_text", {"pattern": "process_?data", "regex": True, "case_sensitive": False, "limit": 20}),
    ("write_file", {"path": NOTES, "content": TEXT}),
    ("edit_file", {"path": NOTES, "edits": RENAMED, "preview": True}),
    ("edit_file", {"path": NOTES, "edits": RENAMED}),
    ("undo_edit", {"edit_id": "{edit_id}", "preview": True}),
    ("list_edits", {"limit": 5}),
    ("find_definition", {"path": "project-a/src/index.ts", "line": 9, "text": "processData"}),
    ("find_references", {"path": UTILS, "symbol": "processData"}),
    ("find_references", {"symbol": "Measurement"}),
    ("find_symbols", {"query": "measure"}),
    ("document_symbols", {"path": UTILS}),
    ("hover", {"path": UTILS, "symbol": "processData"}),
    ("completions", {"path": UTILS, "line": 25, "text": "measurements."}),
    ("signature_help", {"path": "project-a/src/index.ts", "line": 9, "text": "processData("}),
    ("call_hierarchy", {"path": PARSE, "symbol": "parseMeasurement", "direction": "incoming", "depth": 2}),
    ("type_hierarchy", {"path": PROCESSING, "symbol": "Summary", "direction": "supertypes"}),
    ("diagnostics", {}),
    ("diagnostics", {"path": NOTES}),
    ("code_actions", {"path": UTILS, "line": 25, "column": 9}),
    ("rename_symbol", {"path": UTILS, "symbol": "processData", "new_name": "summarise", "preview": True}),
    ("run_command", {"argv": ["cat", "README.md"], "projects": ["project-b"]}),
    ("run_task", {"task": "test"}),
    ("run_command", {"argv": ["sh", "-c", "echo started; sleep 1"], "projects": ["project-a"], "background": True}),
    ("list_jobs", {}),
    ("job_output", {"job_id": "{job_id}", "wait_seconds": 10}),
]

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Calls a tool; returns the result of ``tools/call``."""


def answers(ask: Ask) -> list[tuple[str, str, str]]:
    """Make the calls; return for each its tool, and the text and the JSON of its answer as they are sent."""
    found, known = list[tuple[str, str, str]](), dict[str, str]()
    for tool, arguments in CALLS:
        filled = {name: known.get(str(value), value) for name, value in arguments.items()}
        result = ask(tool, filled)
        text, structured = result["content"][0]["text"], result.get("structuredContent")
        if result.get("isError"):
            raise RuntimeError(f"{tool}: {text}")
        known |= {f"{{{name}}}": value for name in ("edit_id", "job_id") for value in _values(structured, name)}
        found.append((tool, text, json.dumps(structured, ensure_ascii=False, separators=(",", ":"))))
    return found


def _values(value: Any, name: str) -> list[str]:
    """Return the values of a field at any depth."""
    if isinstance(value, list):
        return [item for inner in value for item in _values(inner, name)]
    if not isinstance(value, dict):
        return []
    return [item for key, inner in value.items() for item in ([inner] if key == name else _values(inner, name))]


def table(found: list[tuple[str, str, str]]) -> tuple[list[str], float]:
    """Return the lines of the table, and the total ratio of JSON to text."""
    numbers = count_tokens([form for _, *forms in found for form in forms])
    text, structured = numbers[::2], numbers[1::2]
    rows = [(name, *pair) for (name, *_), pair in zip(found, zip(text, structured, strict=True), strict=True)]
    rows.append((f"{len(rows)} answers", sum(text), sum(structured)))
    lines = [f"{name:22} text {one:6}   JSON {other:6}   ratio {other / one:5.2f}" for name, one, other in rows]
    return [*lines, f"tokens of {TOKENIZER}"], sum(structured) / sum(text)


def main() -> int:
    """Measure and print; return 1 if the JSON costs more than 1.1 times the text."""
    fleet = Deployment()
    headers, url = {"Authorization": f"Bearer {fleet.token()}"}, f"ws://127.0.0.1:{fleet.port}/"
    with connect(url, additional_headers=headers, proxy=None, max_size=None) as socket:
        last_id = 0

        def request(method: str, params: dict[str, Any]) -> Any:
            nonlocal last_id
            last_id += 1
            socket.send(json.dumps({"jsonrpc": "2.0", "id": last_id, "method": method, "params": params}))
            while (message := json.loads(socket.recv())).get("id") != last_id:
                pass
            return message["result"]

        def ask(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
            return dict(request("tools/call", {"name": tool, "arguments": arguments}))

        info = {"name": "bench", "version": "1"}
        request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info})
        socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        try:
            found = answers(ask)
        finally:
            ask("delete_path", {"path": NOTES})
    lines, ratio = table(found)
    print("\n".join(lines))
    return 0 if ratio <= 1.1 else 1


if __name__ == "__main__":
    sys.exit(main())
