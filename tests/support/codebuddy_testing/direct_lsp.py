"""A minimal language-server client for comparison: finds the references of one position over the server's stdio.

Runs in a spoke with the standard library only, and starts the project's server a second time, beside the agent's.
Its argument is JSON: ``path``, ``line`` and ``character`` of the position as LSP counts them (in UTF-16). For
each line on standard input it asks once, and prints ``{"seconds", "found": [[path, line, character], ...]}``.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import subprocess
import sys
import time
from typing import Any

ROOT = "file:///workspace"
CAPABILITIES = {
    "workspace": {"configuration": True, "workspaceFolders": True},
    "window": {"workDoneProgress": True},
    "textDocument": {"references": {}, "synchronization": {}, "publishDiagnostics": {"versionSupport": True}},
    "experimental": {"serverStatusNotification": True},
}


class Server:
    """A server process that gets one request at a time."""

    def __init__(self, config: dict[str, Any], environment: dict[str, str]) -> None:
        self._settings = config.get("settings", {})
        self._process = subprocess.Popen(
            config["command"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/workspace",
            env={**os.environ, **environment, **config.get("environment", {})},
        )
        self._last_id = 0

    def send(self, **message: Any) -> None:
        """Write one message."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def ask(self, method: str, params: Any) -> Any:
        """Send a request and return its result; requests from the server are answered meanwhile."""
        self._last_id += 1
        self.send(id=self._last_id, method=method, params=params)
        while True:
            message = self._read()
            if "method" not in message and message.get("id") == self._last_id:
                return message.get("result")
            if "method" in message and "id" in message:
                self.send(id=message["id"], result=self._answer(message))

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] != "workspace/configuration":
            return None
        return [self._section(item.get("section", "")) for item in message["params"]["items"]]

    def _section(self, name: str) -> Any:
        found: Any = self._settings
        for part in name.split("."):
            found = found.get(part, {}) if isinstance(found, dict) else {}
        return found

    def _read(self) -> Any:
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return json.loads(self._process.stdout.read(length))


def main(question: dict[str, Any]) -> None:
    """Ask once for each line of the input."""
    with open("/etc/codebuddy/config.json", encoding="utf-8") as file:
        declared = json.load(file)
    config = declared["language_servers"][0]
    name = question["path"].rpartition("/")[2]
    language = next(one for pattern, one in config["languages"].items() if fnmatch.fnmatchcase(name, pattern))
    server = Server(config, declared.get("environment", {}))
    folders = [{"uri": ROOT, "name": "workspace"}]
    options = config.get("initialization_options", {})
    begin = {"processId": None, "rootUri": ROOT, "workspaceFolders": folders, "capabilities": CAPABILITIES}
    server.ask("initialize", {**begin, "initializationOptions": options})
    server.send(method="initialized", params={})
    server.send(method="workspace/didChangeConfiguration", params={"settings": config.get("settings", {})})
    uri = f"{ROOT}/{question['path']}"
    with open(f"/workspace/{question['path']}", encoding="utf-8-sig", newline="") as file:
        text = file.read()
    opened = {"uri": uri, "languageId": language, "version": 1, "text": text}
    server.send(method="textDocument/didOpen", params={"textDocument": opened})
    place = {"line": question["line"], "character": question["character"]}
    params = {"textDocument": {"uri": uri}, "position": place, "context": {"includeDeclaration": True}}
    with contextlib.suppress(BrokenPipeError):
        for _ in sys.stdin:
            start = time.perf_counter()
            result = server.ask("textDocument/references", params)
            seconds = time.perf_counter() - start
            starts = [(item["uri"].removeprefix(f"{ROOT}/"), item["range"]["start"]) for item in result or []]
            found = sorted([path, at["line"], at["character"]] for path, at in starts)
            print(json.dumps({"seconds": seconds, "found": found}), flush=True)
    server.end()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
