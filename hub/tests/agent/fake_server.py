"""A language server that follows a script, for faults that no real server can be made to show.

Usage: ``fake_server.py SCRIPT LOG``, with SCRIPT a JSON file::

    {"capabilities": {…}, "on": {"textDocument/definition": [[STEP, …], …], …}}

The n-th call of a method runs the n-th list of steps, later calls the last one; the count continues in a new process.
A step is one of ``{"reply": RESULT}``, ``{"error": [CODE, TEXT]}``, ``{"notify": [METHOD, PARAMS]}``,
``{"ask": [ID, METHOD, PARAMS]}``, ``{"write": TEXT}``, ``{"exit": STATUS}``, ``{"child": COMMAND}`` (starts a child
that does not end, by ``sh`` or by the given command line), ``{"eat": MB}`` (memory), ``{"close": FD}``,
``{"deaf": true}`` (reads nothing more), ``{"wait": PATH}`` (until the file exists), ``{"stderr": LINE}``,
``{"endless": [METHOD, PARAMS]}``, ``{"file": [PATH, TEXT]}`` (writes a file, as somebody else would). A method without
steps is answered with null, but for the definition of what stands at a place, which is that place; ``answer`` stands
for the answers to its own requests. In params, ``@version`` and ``@uri`` stand for those of the last document that was
opened or changed. Every incoming message becomes a line of LOG, with the process id.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

SCRIPT: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
LOG = Path(sys.argv[2])
DOCUMENT: dict[str, Any] = {}
EATEN: list[bytearray] = []
CALLS: Counter[str] = Counter()  # by method, of the lines of LOG before LOG_END
LOG_END = 0


def send(message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    sys.stdout.buffer.flush()


def receive() -> dict[str, Any] | None:
    length = 0
    while (line := sys.stdin.buffer.readline().strip()) or not length:
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
        elif not line:
            return None
    message: dict[str, Any] = json.loads(sys.stdin.buffer.read(length))
    return message


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item) for item in value]
    if value in ("@version", "@uri"):
        return DOCUMENT.get(value[1:])
    return value


def calls_before(method: str) -> int:
    """Count the calls in LOG, by this process and others; each line is read once, for there may be megabytes."""
    global LOG_END  # noqa: PLW0603
    if LOG.exists():
        with LOG.open("rb") as log:
            log.seek(LOG_END)
            for line in log:
                CALLS[json.loads(line)["message"].get("method")] += 1
            LOG_END = log.tell()
    return CALLS[method]


def definition_of(uri: str, position: dict[str, int]) -> dict[str, Any]:
    """Return the place itself; for an import, one outside the project: a server finds no import in itself."""
    path = os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))
    lines = Path(path).read_text(errors="replace").splitlines()
    imported = lines[position["line"]].startswith(("from ", "import "))
    return {"uri": "file:///elsewhere.py" if imported else uri, "range": {"start": position, "end": position}}


def write(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def write_file(path: str, text: str) -> None:
    Path(path).write_text(text)


def start_child(how: list[str]) -> None:
    tell = f"echo $$ > {LOG.with_suffix('.new')}; mv {LOG.with_suffix('.new')} {LOG.with_suffix('.child')}"
    subprocess.Popen([*how, "sh", "-c", f"{tell}; exec sleep 1000"], stdin=subprocess.DEVNULL)


def eat(megabytes: int) -> None:
    EATEN.append(bytearray(b"x") * (megabytes << 20))


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def close(descriptor: int) -> None:
    os.close(descriptor)
    time.sleep(1000)


def send_for_ever(method: str, params: Any) -> None:
    while True:
        send({"method": method, "params": params})


def end(status: int) -> None:
    print("last words", file=sys.stderr, flush=True)
    os._exit(status)


STEPS: dict[str, Callable[[Any, Any], None]] = {
    "reply": lambda value, ident: send({"id": ident, "result": value}),
    "error": lambda value, ident: send({"id": ident, "error": {"code": value[0], "message": value[1]}}),
    "notify": lambda value, ident: send({"method": value[0], "params": value[1]}),
    "ask": lambda value, ident: send({"id": value[0], "method": value[1], "params": value[2]}),
    "write": lambda value, ident: write(value),
    "child": lambda value, ident: start_child(value),
    "wait": lambda value, ident: wait_for(Path(value)),
    "close": lambda value, ident: close(value),
    "eat": lambda value, ident: eat(value),
    "file": lambda value, ident: write_file(*value),
    "stderr": lambda value, ident: print(value, file=sys.stderr, flush=True),
    "deaf": lambda value, ident: time.sleep(1000),
    "endless": lambda value, ident: send_for_ever(*value),
    "exit": lambda value, ident: end(value),
}


def main() -> None:
    while (message := receive()) is not None:
        method, ident = message.get("method"), message.get("id")
        steps = SCRIPT.get("on", {}).get(method or "answer")
        turn = calls_before(method) if method else 0
        with LOG.open("a") as log:
            log.write(json.dumps({"pid": os.getpid(), "message": message}) + "\n")
        document = (message.get("params") or {}).get("textDocument") if method else None
        if document and "version" in document:
            DOCUMENT.update(document)
        if steps:
            for step in steps[min(turn, len(steps) - 1)]:
                ((kind, value),) = step.items()
                STEPS[kind](filled(value), ident)
        elif method == "initialize":
            send({"id": ident, "result": {"capabilities": SCRIPT.get("capabilities", {})}})
        elif method and method.startswith("$/") and ident is not None:
            send({"id": ident, "error": {"code": -32601, "message": "unknown"}})
        elif method == "textDocument/definition" and ident is not None:
            send({"id": ident, "result": definition_of(document["uri"], message["params"]["position"])})
        elif method and ident is not None:
            send({"id": ident, "result": None})
        if method == "exit":
            return


if __name__ == "__main__":
    main()
