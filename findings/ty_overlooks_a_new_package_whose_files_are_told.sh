#!/usr/bin/env bash
# ty 0.0.105 as a language server: a package that is made while it runs stays unresolved when the client tells it of the
# package's files (workspace/didChangeWatchedFiles, type 1), and even when it opens them. The import resolves as soon as
# it is told of the new directory, or of any new file beside that directory, which need have nothing to do with it: only
# what stands in the told path's parent is looked at again. A new module in a directory that it knew is seen at once.
# What to do: tell it of new directories too (it asks for all of "**"), and of those that are gone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ty==0.0.105
cd "$work"
cat > show.py <<'END'
import json
import subprocess
import sys
from pathlib import Path


class Server:
    """A language server, spoken to in the fewest words."""

    def __init__(self, root: Path, *command: str) -> None:
        self.process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.asked = 0
        folders = [{"uri": root.as_uri(), "name": root.name}]
        capabilities = {"textDocument": {"diagnostic": {}}}
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


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


root = Path("project").absolute()
main = write(root / "main.py", "from shop.cart import total\nfrom ware.box import size\nimport tools\n")
server = Server(root, *sys.argv[1:])
server.open(main, "python")


def unresolved(when: str) -> list[int]:
    items = server.ask("textDocument/diagnostic", textDocument={"uri": main.as_uri()})["items"]
    lines = [item["range"]["start"]["line"] + 1 for item in items if item["code"] == "import-not-found"]
    print(f"{when}: unresolved in lines {lines}")
    return lines


def tell_new(*paths: Path) -> None:
    server.tell("workspace/didChangeWatchedFiles", changes=[{"uri": path.as_uri(), "type": 1} for path in paths])


assert unresolved("before") == [1, 2, 3]
tell_new(write(root / "shop/__init__.py", ""), write(root / "shop/cart.py", "total = 1\n"))
assert unresolved("told of the two files of shop") == [1, 2, 3]
server.open(root / "shop/cart.py", "python")
assert unresolved("shop/cart.py is open too") == [1, 2, 3]
tell_new(root / "shop")
assert unresolved("told of the directory shop") == [2, 3]
tell_new(write(root / "ware/__init__.py", ""), write(root / "ware/box.py", "size = 2\n"))
assert unresolved("told of the two files of ware") == [2, 3]
tell_new(write(root / "tools.py", ""))
assert unresolved("told of tools.py, which stands beside ware") == []
server.stop()
END
"$work/venv/bin/python" show.py "$work/venv/bin/ty" server
