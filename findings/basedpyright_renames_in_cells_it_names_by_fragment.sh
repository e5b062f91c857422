#!/usr/bin/env bash
# basedpyright 1.40.2 as a language server: a rename in a .py file also gives edits for notebooks (.ipynb) of the
# project that nobody opened, to clients that announce nothing about notebooks. Each cell is a document of its own,
# whose URI is that of the notebook with "#" and a number that counts the code cells only, and the position is one in
# the cell's text. A client that takes the path of such a URI writes the new name over other characters of the JSON, and
# a reader that takes the number as an index of "cells" looks into the wrong cell. What to do: keep the fragment, and
# map such places to the notebook's JSON through its code cells, or refuse them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check basedpyright==1.40.2
cd "$work"
cat > show.py <<'END'
import json
import subprocess
import sys
import time
from pathlib import Path


class Server:
    """A language server, spoken to in the fewest words."""

    def __init__(self, root: Path, *command: str) -> None:
        self.process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.asked = 0
        folders = [{"uri": root.as_uri(), "name": root.name}]
        capabilities = {}
        self.ask(
            "initialize", processId=None, rootUri=root.as_uri(), workspaceFolders=folders, capabilities=capabilities
        )
        self.tell("initialized")
        self.tell("workspace/didChangeConfiguration", settings={})

    def send(self, **message) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def tell(self, method: str, **params) -> None:
        self.send(method=method, params=params)

    def ask(self, method: str, **params):
        self.asked += 1
        self.send(id=self.asked, method=method, params=params)
        while True:
            size = 0
            while line := self.process.stdout.readline().strip():
                if line.startswith(b"Content-Length:"):
                    size = int(line.split()[1])
            message = json.loads(self.process.stdout.read(size))
            if "method" not in message and message["id"] == self.asked:
                return message["result"]
            if "id" in message and "method" in message:  # the server asks for settings, or to be told of something
                items = message["params"].get("items") if message.get("params") else None
                self.send(id=message["id"], result=items and [None for _ in items])

    def open(self, path: Path, language: str) -> None:
        text = {"uri": path.as_uri(), "languageId": language, "version": 1, "text": path.read_text()}
        self.tell("textDocument/didOpen", textDocument=text)

    def stop(self) -> None:
        self.send(id="stop", method="shutdown")
        self.send(method="exit")
        self.process.wait()


def place(path: Path, number: int, word: str) -> dict:
    """The place of a word in a line, counted from 1."""
    column = path.read_text().splitlines()[number - 1].index(word)
    return {"textDocument": {"uri": path.as_uri()}, "position": {"line": number - 1, "character": column}}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


root = Path("project").absolute()
shop = write(root / "shop.py", "def total(count):\n    return count\n")
code = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
cells = [
    {"cell_type": "markdown", "metadata": {}, "source": ["# What it comes to"]},
    {**code, "source": ["from shop import total"]},
    {"cell_type": "markdown", "metadata": {}, "source": ["and for three:"]},
    {**code, "source": ["x = 3\n", "total(x)"]},
]
parts = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
notebook = write(root / "sums.ipynb", json.dumps(parts))
server = Server(root, *sys.argv[1:])
server.open(shop, "python")
changes = []
until = time.monotonic() + 60
while len(changes) < 2 and time.monotonic() < until:  # it is looking for the project's files
    time.sleep(0.2)
    changes = server.ask("textDocument/rename", **place(shop, 1, "total"), newName="price")["documentChanges"]
seen = {}
for change in changes:
    start = change["edits"][0]["range"]["start"]
    seen[change["textDocument"]["uri"].rpartition("/")[2]] = (start["line"], start["character"])
for name, start in seen.items():
    print(f"{name}: line {start[0]}, character {start[1]} (from 0)")
assert len(notebook.read_text().splitlines()) == 1  # so that "line 1" is none of the file
assert seen == {"shop.py": (0, 4), "sums.ipynb#0": (0, 17), "sums.ipynb#1": (1, 0)}
server.stop()
END
"$work/venv/bin/python" show.py "$work/venv/bin/basedpyright-langserver" --stdio
