"""Compares run_command ["true"] through the hub with ``docker exec <spoke> true``, and measures the memory that hub and
agent need for a gigabyte of output. Runs on the scenarios' fleet.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import docker

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hub/src"), str(ROOT / "tests/support")]

import ansible.module_utils  # noqa: E402

ansible.module_utils.__path__ += [str(folder) for folder in sorted(ROOT.glob("roles/*/module_utils"))]

from websockets.sync.client import ClientConnection, connect  # noqa: E402

from codebuddy_testing.deployment import Deployment  # noqa: E402

ROUNDS = 40
PROJECT = "project-b"
INFO = {"name": "bench", "version": "1"}
PRINT = "import os\nfor _ in range(16384): os.write(1, b'x' * 65535 + b'\\n')"


class Hub:
    """A WebSocket connection to the hub."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last_id = 0

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        """Send a request and return its result."""
        self._last_id += 1
        self._socket.send(json.dumps({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._last_id:
                return message["result"]

    def run(self, *argv: str) -> dict[str, Any]:
        """Run a command in the project."""
        arguments = {"argv": list(argv), "projects": [PROJECT], "wait_seconds": 600, "detail": "full"}
        (result,) = self.ask("tools/call", {"name": "run_command", "arguments": arguments})["structuredContent"][
            "results"
        ]
        return dict(result)


def peak(fleet: Deployment, part: str) -> int:
    """Return the peak memory of a container's main process in KiB, and reset it."""
    top = docker.APIClient(version="auto").top(f"{fleet.name}-{part}", "-eo pid,args")
    word = "serve" if part == "hub" else "spoke"
    pid = next(row[0] for row in top["Processes"] if f"-m codebuddy {word}" in row[1])
    status = Path(f"/proc/{pid}/status").read_text()
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets the peak
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> int:
    """Measure and print; return 1 if a run failed."""
    fleet = Deployment()
    headers = {"Authorization": f"Bearer {fleet.token()}"}
    ours, theirs = list[float](), list[float]()
    with connect(f"ws://127.0.0.1:{fleet.port}/", additional_headers=headers, proxy=None, max_size=None) as socket:
        hub = Hub(socket)
        hub.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": INFO})
        socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            if hub.run("true").get("exit_code") != 0:
                return 1
            ours.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            subprocess.run(["docker", "exec", f"{fleet.name}-{PROJECT}", "true"], check=True)
            theirs.append(time.perf_counter() - begun)
        for part in ("hub", PROJECT):
            peak(fleet, part)
        before = {part: peak(fleet, part) for part in ("hub", PROJECT)}
        begun = time.perf_counter()
        result = hub.run("python3", "-c", PRINT)
        took = time.perf_counter() - begun
        if not (result.get("exit_code") == 0 and result["truncated"]):
            return 1
        after = {part: peak(fleet, part) for part in ("hub", PROJECT)}
    mine, other = statistics.median(ours) * 1e3, statistics.median(theirs) * 1e3
    print(f"run_command true  p50 {mine:7.2f} ms   docker exec true  p50 {other:7.2f} ms   ratio {mine / other:.3f}")
    for part, name in (("hub", "hub"), (PROJECT, "agent")):
        print(f"1 GiB of output: {name:5} +{(after[part] - before[part]) / 1024:5.1f} MiB of memory at its peak")
    print(f"1 GiB of output: {took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
