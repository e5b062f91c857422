#!/usr/bin/env bash
# basedpyright 1.40.2 as a language server: it offers workspace/willRenameFiles for every file ("**/*"), but its edits
# only change the last part of a module's name. For a file that moves to another directory, "from shop.cart import"
# becomes "from shop.basket import" whatever the directory, and for a new name that is none of a module ("2cart.py") it
# becomes "from shop. import", which is no Python. ty 0.0.105 answers null in both cases. What to do: ask it only when a
# module gets another name of a module in the same directory.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check basedpyright==1.40.2 ty==0.0.105
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
        capabilities = {"workspace": {"workspaceEdit": {"documentChanges": True}}}
        announced = self.ask(
            "initialize", processId=None, rootUri=root.as_uri(), workspaceFolders=folders, capabilities=capabilities
        )
        self.announced = announced["capabilities"]
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
write(root / "shop/__init__.py", "")
write(root / "store/__init__.py", "")
cart = write(root / "shop/cart.py", "def total():\n    return 1\n")
main = write(root / "main.py", "from shop.cart import total\n")
seen = {}
for name, command in {"basedpyright": ["basedpyright-langserver", "--stdio"], "ty": ["ty", "server"]}.items():
    server = Server(root, f"{sys.argv[1]}/{command[0]}", command[1])
    [*filters] = server.announced["workspace"]["fileOperations"]["willRename"]["filters"]
    print(name, "offers it for", [each["pattern"]["glob"] for each in filters])
    server.open(main, "python")
    server.open(cart, "python")
    for target in ("shop/basket.py", "store/basket.py", "shop/2cart.py"):
        files = [{"oldUri": cart.as_uri(), "newUri": (root / target).as_uri()}]
        answer = server.ask("workspace/willRenameFiles", files=files)
        text = main.read_text()
        if answer:
            changes = {each["textDocument"]["uri"]: each["edits"] for each in answer.get("documentChanges", [])}
            [edit] = (answer.get("changes") or changes)[main.as_uri()]
            start, end = (edit["range"][side]["character"] for side in ("start", "end"))
            text = text[:start] + edit["newText"] + text[end:]
        seen[name, target] = text.strip() if answer else None
        print(f"  shop/cart.py to {target}: {seen[name, target]}")
    server.stop()
assert seen == {
    ("basedpyright", "shop/basket.py"): "from shop.basket import total",
    ("basedpyright", "store/basket.py"): "from shop.basket import total",
    ("basedpyright", "shop/2cart.py"): "from shop. import total",
    ("ty", "shop/basket.py"): "from shop.basket import total",
    ("ty", "store/basket.py"): None,
    ("ty", "shop/2cart.py"): None,
}
END
"$work/venv/bin/python" show.py "$work/venv/bin"
