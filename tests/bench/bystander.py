"""Asks the scenarios' hub for its health and for a small file while another client attacks it, in turn with as long
without. Prints for each attack how many times as long the middle call took, and the slowest call; fails when that is
more than twice as long, or a second. ``ATTACKS`` in the environment names some of them, ``ROUNDS`` how often each
comes.

Both clients run in a container beside the hub's, on its network, so that nothing but the hub is measured. This file is
their program too, so it needs the standard library only until ``prepare``.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROUNDS = int(os.environ.get("ROUNDS", "3"))
QUIET_SECONDS, ATTACK_SECONDS = 2.0, 4.0
MOST_TIMES, MOST_SECONDS = 2.0, 1.0
SMALL, LARGE = "project-b/pyproject.toml", "project-b/bystander-{}.txt"
LARGE_LINES = 80_000  # of 40 characters: below the 4 MiB of a file that is edited
MESSAGE_BYTES = 4 * 1024 * 1024
ADDRESS, HOST, TOKEN = (os.environ.get(f"BYSTANDER_{name}", "") for name in ("ADDRESS", "HOST", "TOKEN"))
PORT = 3000


class Caller:
    """A client over HTTP, on a connection that it keeps."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=60)
        asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        self.headers = {
            "Host": HOST,
            "Authorization": f"Bearer {TOKEN}",
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        }
        response = self._send("POST", "/mcp", message("initialize", asked))
        self.headers["Mcp-Session-Id"] = response.headers["mcp-session-id"]

    def _send(self, method: str, path: str, body: bytes = b"") -> http.client.HTTPResponse:
        while True:
            try:
                self._connection.request(method, path, body, self.headers)
                response = self._connection.getresponse()
                break
            except (http.client.HTTPException, OSError):  # the hub closed it: a client tries again, on a new one
                self._connection.close()
                time.sleep(0.01)
        response.body = response.read()  # type: ignore[attr-defined]
        return response

    def health(self) -> None:
        """Ask for the health of all."""
        response = self._send("GET", "/health")
        assert response.status in (200, 503), (response.status, response.body)  # type: ignore[attr-defined]

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; return its result."""
        body = message("tools/call", {"name": tool, "arguments": arguments})
        return json.loads(self._send("POST", "/mcp", body).body)["result"]  # type: ignore[attr-defined]

    def read(self) -> None:
        """Read a small file."""
        result = self.call("read_file", path=SMALL)
        assert not result.get("isError"), result


def message(method: str, params: dict[str, Any], number: int = 1) -> bytes:
    """Return a request."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def open_websocket() -> socket.socket:
    """Return a connection after the handshake of RFC 6455."""
    connection = socket.create_connection((ADDRESS, PORT), timeout=30)
    connection.sendall(
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: mcp\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head and (part := connection.recv(4096)):
        head += part
    if b" 101 " not in head:
        raise ConnectionError(head[:100])
    return connection


def frame(body: bytes) -> bytes:
    """Return a text frame with a mask of zeros."""
    size = len(body)
    length = (
        bytes([0x80 | 126]) + size.to_bytes(2, "big") if size < 2**16 else bytes([0x80 | 127]) + size.to_bytes(8, "big")
    )
    return (b"\x81" + (bytes([0x80 | size]) if size < 126 else length)) + bytes(4) + body


# Attacks: each repeats itself until its process is ended.


def idle_connections(_caller: Caller) -> None:
    """Open 200 connections that send nothing, again when they are closed."""
    opened = [socket.create_connection((ADDRESS, PORT)) for _ in range(200)]
    while True:
        for number, one in enumerate(opened):
            one.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                try:
                    ended = not one.recv(1)
                except ConnectionError:
                    ended = True
                if ended:
                    one.close()
                    opened[number] = socket.create_connection((ADDRESS, PORT))


def clients_that_never_read(_caller: Caller) -> None:
    """64 WebSockets ask for a large file and never read; half as many HTTP connections send requests in advance."""

    def flood(number: int) -> None:
        reading = {"name": "read_file", "arguments": {"path": LARGE.format(number % 8)}}
        while True:
            with contextlib.suppress(OSError), open_websocket() as connection:
                if number % 2:
                    asked = {
                        "protocolVersion": "2025-06-18",
                        "capabilities": {},
                        "clientInfo": {"name": "b", "version": "1"},
                    }
                    connection.sendall(frame(message("initialize", asked)))
                connection.settimeout(5)
                for request in range(1000):
                    connection.sendall(frame(message("tools/call", reading, request + 2)))
                time.sleep(5)
            time.sleep(0.05)

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(flood, range(64)))


def nested_messages(_caller: Caller) -> None:
    """Eight clients send the longest messages that are accepted, made of as many values as fit."""
    value = b"[" + b"[{}]," * (MESSAGE_BYTES // 5 - 100) + b"0]"
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":'
        + value
        + b"}}}"
    )

    def flood(_number: int) -> None:
        own = Caller()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                own._send("POST", "/mcp", body)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(flood, range(8)))


def file_events(caller: Caller) -> None:
    """A program in a spoke makes and removes files, 10,000 events a second."""
    program = (
        "import os, time\n"
        "os.makedirs('events', exist_ok=True)\n"
        "while True:\n"
        "    began = time.monotonic()\n"
        "    for n in range(250):\n"
        "        p = f'events/{n}.py'\n"
        "        with open(p, 'w') as f: f.write('x')\n"
        "        os.unlink(p)\n"  # create, write, close, delete: four events
        "    time.sleep(max(0, 0.1 - (time.monotonic() - began)))\n"
    )
    while True:
        caller.call(
            "run_command", argv=["timeout", "60", "python3", "-c", program], projects=["project-b"], wait_seconds=60
        )


def searches(_caller: Caller) -> None:
    """Four clients search all files for a pattern that is in each line."""
    flood_with(4, "search_text", lambda _n: {"pattern": "l[a-z]+e [0-9]*7 of", "regex": True, "limit": 1000})


def previews(_caller: Caller) -> None:
    """Eight clients preview an edit that changes every line of a large file."""
    flood_with(8, "write_file", lambda n: {"path": LARGE.format(n), "content": large_text("other"), "preview": True})


def flood_with(clients: int, tool: str, arguments: Callable[[int], dict[str, Any]]) -> None:
    """Call a tool again and again."""

    def flood(number: int) -> None:
        own = Caller()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, KeyError):
                own.call(tool, **arguments(number))

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(flood, range(clients)))


def large_text(word: str) -> str:
    """Return the content of a large file."""
    return "".join(f"{word} line {number:08} of a large file......\n" for number in range(LARGE_LINES))


ATTACKS = {
    one.__name__: one
    for one in (idle_connections, clients_that_never_read, nested_messages, file_events, searches, previews)
}


@contextlib.contextmanager
def attack(name: str) -> Iterator[None]:
    """Attack from another process, which is ended at the end."""
    process = subprocess.Popen([sys.executable, __file__, name])
    try:
        time.sleep(1.0)
        yield
        assert process.poll() is None, f"{name} ended by itself"
    finally:
        process.kill()
        process.wait()


def measure(caller: Caller, seconds: float) -> dict[str, list[float]]:
    """Call in turn for some seconds; return how long each call took."""
    taken: dict[str, list[float]] = {"health": [], "read": []}
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        for name, call in (("health", caller.health), ("read", caller.read)):
            began = time.monotonic()
            try:
                call()
            except AssertionError as wrong:
                print(f"{name}: {str(wrong)[:200]}", file=sys.stderr)
            taken[name].append(time.monotonic() - began)
        time.sleep(0.01)
    return taken


def main() -> int:
    """Measure; return 1 if a bystander had to wait too long."""
    caller, failed = Caller(), False
    print(f"{'attack':26}{'call':8}{'quiet p50':>11}{'p50':>10}{'times':>7}{'quiet worst':>13}{'worst':>9}{'calls':>7}")
    for name in os.environ.get("ATTACKS", " ".join(ATTACKS)).split():
        quiet: dict[str, list[float]] = {"health": [], "read": []}
        under: dict[str, list[float]] = {"health": [], "read": []}
        for _ in range(ROUNDS):
            for call, taken in measure(caller, QUIET_SECONDS).items():
                quiet[call] += taken
            with attack(name):
                for call, taken in measure(caller, ATTACK_SECONDS).items():
                    under[call] += taken
            time.sleep(1.0)
        for call, taken in quiet.items():
            before, after = statistics.median(taken), statistics.median(under[call])
            times, worst = after / before, max(under[call])
            bad = times > MOST_TIMES or worst > MOST_SECONDS
            failed |= bad
            print(
                f"{name:26}{call:8}{1000 * before:8.1f} ms{1000 * after:7.1f} ms{times:7.2f}"
                f"{max(taken):11.3f} s{worst:7.3f} s{len(under[call]):7}{'  too long' if bad else ''}",
                flush=True,
            )
    return 1 if failed else 0


def prepare() -> int:
    """Write the large files, and run this program beside the hub."""
    root = Path(__file__).parents[2]
    sys.path[:0] = [str(root), str(root / "hub/src"), str(root / "tests/support")]
    import ansible.module_utils

    ansible.module_utils.__path__ += [str(folder) for folder in sorted(root.glob("roles/*/module_utils"))]
    from codebuddy_testing.deployment import SPOKE_PYTHON, Deployment

    fleet = Deployment()
    files = [fleet.path("project-b") / Path(LARGE.format(number)).name for number in range(8)]
    given = {
        "BYSTANDER_ADDRESS": fleet.address("hub", "hub"), "BYSTANDER_HOST": f"127.0.0.1:{fleet.port}",
        "BYSTANDER_TOKEN": fleet.token(), "ROUNDS": str(ROUNDS),
        "ATTACKS": os.environ.get("ATTACKS", " ".join(ATTACKS)),
    }  # fmt: skip
    hub = fleet.container("hub")
    options = ["--rm", "--network", f"container:{hub.id}", "-v", f"{Path(__file__).resolve()}:/bystander.py:ro"]
    options += [f"--env={name}" for name in given]
    options += ["--entrypoint", SPOKE_PYTHON]
    command = ["docker", "run", *options, str(hub.attrs["Image"]), "-u", "/bystander.py", "-"]
    try:
        for file in files:
            file.write_text(large_text("a"))
        return subprocess.run(command, env={**os.environ, **given}, check=False).returncode
    finally:
        for file in files:
            file.unlink()
        fleet.run("project-b", "rm", "-rf", "/workspace/events")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(prepare())
    if sys.argv[1] == "-":
        sys.exit(main())
    ATTACKS[sys.argv[1]](Caller())
