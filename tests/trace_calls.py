"""Prints which files run during two calls: ``write_file``, and ``find_references`` through hub, link and agent.

    python tests/trace_calls.py [--source DIR] [--files]

Hub and agent run in this process, connected by a real link, with a scripted language server. Each call is traced the
second time it is made. DIR is the ``hub/src`` of another checkout; objects are found by name in any module.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ROOT = Path(__file__).parents[1]
FAKE_SERVER = ROOT / "hub/tests/agent/fake_server.py"
_KEY = Ed25519PrivateKey.generate()


class Package:
    """The package in a source directory: finds its objects by name, and records which of its files run."""

    def __init__(self, source: Path) -> None:
        self._root = str(source / "codebuddy")
        self._modules: dict[str, str] = {}
        for path in sorted((source / "codebuddy").rglob("*.py")):
            module = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
            for node in ast.parse(path.read_text()).body:
                for name in _names(node):
                    self._modules.setdefault(name, module)
        self.recording = False
        self.files: set[str] = set()
        sys.path.insert(0, str(source))

    def get(self, *names: str) -> Any:
        """Return the object with the first of these names that exists; a later one is a former name."""
        name = next(name for name in names if name in self._modules)
        return getattr(importlib.import_module(self._modules[name]), name)

    def record(self, frame: FrameType, event: str, _argument: object) -> None:
        """Record the file of a call; a profile function."""
        if self.recording and event == "call" and frame.f_code.co_filename.startswith(self._root):
            self.files.add(frame.f_code.co_filename[len(self._root) + 1 :])


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


async def trace(package: Package, directory: Path) -> dict[str, set[str]]:
    """Make both calls twice; return the files that ran during the second of each."""
    project = directory / "p"
    project.mkdir()
    (project / "main.py").write_text("from shop import open_shop\nopen_shop()\n")
    (project / "shop.py").write_text("def open_shop():\n    return 1\n")
    port = _free_port()
    hub = package.get("Hub")(
        package.get("HubConfiguration").model_validate(
            {
                "fleet": "test",
                "client": {"address": "127.0.0.1", "port": 1, "published": 1},
                "projects": {"p": {"profile": "python", "host_path": str(project), "listen": "127.0.0.1"}},
            }
        ),
        package.get("Journal")(directory / "journal", 2**28, 86400.0),
        directory,
    )
    agent = package.get("Agent")(_spoke_configuration(package, directory, project), project)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, package, hub, port)
        tasks.start_soon(agent.servers.run)
        token = directory / "token"
        token.write_text(_token(package))
        url = f"ws://127.0.0.1:{port}{package.get('LINK_PATH')}"
        tasks.start_soon(package.get("maintain_link", "dial_for_ever"), url, token, agent.server, "p", agent.on_link)
        while hub.links.get("p") is None:
            await anyio.sleep(0.02)
        found = await _calls(package, hub)
        hub.stopping.set()
        tasks.cancel_scope.cancel()
    return found


async def _calls(package: Package, hub: Any) -> dict[str, set[str]]:
    ours, theirs = socket.socketpair()
    serving = asyncio.create_task(hub.serve_local(*await asyncio.open_connection(sock=theirs)))
    reader, writer = await asyncio.open_connection(sock=ours)
    number = 0

    async def ask(method: str, **params: Any) -> Any:
        nonlocal number
        number += 1
        writer.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")
        while True:
            message = json.loads(await reader.readline())
            if message.get("id") == number:
                return message["result"]

    client = {"name": "trace", "version": "1"}
    await ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
    writer.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    calls: dict[str, dict[str, Any]] = {
        "write_file": {"path": "p/new.py", "content": "one = 1\n"},
        "find_references": {"path": "p/main.py", "line": 2, "column": 1},
    }
    found = {}
    for name, arguments in reversed(calls.items()):  # the question first: it starts the language server
        await ask("tools/call", name=name, arguments=arguments)
    for name, arguments in calls.items():
        package.files, package.recording = set(), True
        changed = {"content": "one = 2\n"} if name == "write_file" else {}
        answer = await ask("tools/call", name=name, arguments={**arguments, **changed})
        package.recording = False
        if answer.get("isError"):
            raise SystemExit(f"{name} failed: {answer['content']}")
        found[name] = package.files
    writer.close()
    serving.cancel()
    return found


def _token(package: Package) -> str:
    now = int(time.time())
    claims = {
        "iss": "codebuddy:test",
        "aud": package.get("LINK_AUDIENCE"),
        "sub": "p",
        "projects": ["p"],
        "scopes": ["read", "write", "run"],
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }
    return jwt.encode(claims, _KEY, algorithm="EdDSA")


async def _listen(package: Package, hub: Any, port: int) -> None:
    public = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    verifier = package.get("TokenVerifier")(public, "test")
    policy = package.get("AccessPolicy")(verifier, package.get("LINK_AUDIENCE"), [f"127.0.0.1:{port}"])
    app = package.get("link_app")(hub.server, hub.links, policy, {"127.0.0.1": "p"}, hub.stopping)
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    await package.get("make_listener", "open_door")(app, for_spokes=True).serve([listener])


def _spoke_configuration(package: Package, directory: Path, project: Path) -> Any:
    script = directory / "script.json"
    span = {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 9}}
    place = {"uri": (project / "main.py").as_uri(), "range": span}
    on = {"textDocument/references": [[{"reply": [place]}]]}
    capabilities = {"referencesProvider": {}, "definitionProvider": True, "documentSymbolProvider": True}
    script.write_text(json.dumps({"on": on, "capabilities": capabilities}))
    command = [sys.executable, str(FAKE_SERVER), str(script), str(directory / "log")]
    servers = [{"name": "fake", "command": command, "languages": {"*.py": "python"}}]
    return package.get("SpokeConfiguration").model_validate(
        {"project": "p", "profile": "python", "language_servers": servers}
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Trace both calls and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=ROOT / "hub/src")
    parser.add_argument("--files", action="store_true", help="name the files")
    given = parser.parse_args()
    package = Package(given.source.resolve())
    threading.setprofile(package.record)
    sys.setprofile(package.record)
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(trace(package, Path(directory)))
    for name, files in found.items():
        folders = Counter(str(Path(file).parent) for file in files)
        print(f"{name}: {len(files)} files in {len(folders)} packages: ", end="")
        print(", ".join(f"{folder} {count}" for folder, count in sorted(folders.items())))
        if given.files:
            print(*(f"  {file}" for file in sorted(files)), sep="\n")


if __name__ == "__main__":
    main()
