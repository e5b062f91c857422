"""Works the scenarios' fleet on a busy machine: four clients (two over WebSocket, two over HTTP) read, search and run
while PROCESSES processes only compute, and each project has runs of RUN_SECONDS. Prints what was lost, and fails if
anything was. ``SECONDS`` and ``PROCESSES`` in the environment change how long it takes, and how busy the machine is.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hub/src"), str(ROOT / "tests/support")]

import ansible.module_utils  # noqa: E402

ansible.module_utils.__path__ += [str(folder) for folder in sorted(ROOT.glob("roles/*/module_utils"))]

from mcp.client.client import Client  # noqa: E402

from codebuddy_testing.clients import answer, connected  # noqa: E402
from codebuddy_testing.deployment import Deployment  # noqa: E402

SECONDS = float(os.environ.get("SECONDS", "300"))
PROCESSES = int(os.environ.get("PROCESSES", "30"))
RUN_SECONDS = round(min(180.0, 0.6 * SECONDS))
TRANSPORTS = ("websocket", "http", "websocket", "http")
QUESTIONS: dict[str, dict[str, Any]] = {
    "read_file": {"path": "project-b/pyproject.toml"},
    "find_references": {"path": "project-a/src/index.ts", "symbol": "report"},
    "run_command": {"argv": ["echo", "here"]},
}


@dataclass
class Tally:
    """What was done, and what went wrong with it."""

    calls: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    runs: int = 0
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@contextmanager
def busy_machine(processes: int) -> Iterator[None]:
    """Keep the processors busy; only the processes that were started here are ended."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


async def work(client: Client, tally: Tally, until: float) -> None:
    """Ask one question after the other."""
    while time.monotonic() < until:
        for tool, arguments in QUESTIONS.items():
            begun = time.monotonic()
            try:
                succeeded, content = await answer(client, tool, **arguments)
            except Exception as error:  # whatever a client may see is to be told
                succeeded, content = False, {"raised": repr(error)}
            ran_well = all(one.get("exit_code") == 0 for one in content.get("results", []))
            if not (succeeded and ran_well):
                tally.failed.append(f"{tool}: {str(content)[:300]}")
            tally.calls[tool] += 1
            tally.slowest[tool] = max(tally.slowest.get(tool, 0.0), time.monotonic() - begun)


async def long_runs(client: Client, tally: Tally, project: str, wait_seconds: float, until: float) -> None:
    """Run programs that print each second, and read on where an answer says that they are still going."""
    script = f"for n in $(seq {RUN_SECONDS}); do echo line $n; sleep 1; done"
    expected = "".join(f"line {n}\n" for n in range(1, RUN_SECONDS + 1))
    arguments = {"argv": ["sh", "-c", script], "projects": [project], "wait_seconds": wait_seconds}
    while time.monotonic() + RUN_SECONDS < until:
        tally.runs += 1
        try:
            _, content = await answer(client, "run_command", **arguments)
            result = content["results"][0]
            output = result["output"]
            while "reason" not in result or result.get("cursor"):
                asked = {"job_id": result["job_id"], "cursor": result["cursor"], "wait_seconds": 45}
                _, result = await answer(client, "job_output", **asked)
                output += result["output"]
            if result["reason"] != "exited" or output != expected:
                tally.lost.append(f"{project}: {result['reason']}, {len(output)} characters of {len(expected)}")
        except Exception as error:
            tally.lost.append(f"{project}: {error!r}")


async def drive(port: int, token: str, projects: list[str]) -> Tally:
    """Work with four clients for ``SECONDS``."""
    tally, until = Tally(), time.monotonic() + SECONDS
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(one, port, token, "auto")) for one in TRANSPORTS]
        tasks = [work(client, tally, until) for client in clients]
        # Half of the runs are waited for in one call; the others outlast the wait.
        for number, client in enumerate(clients):
            wait = 600.0 if number < 2 else 45.0
            tasks += [long_runs(client, tally, project, wait, until) for project in projects[number % 2 :: 2]]
        await asyncio.gather(*tasks)
    return tally


def links_closed(fleet: Deployment, since: float) -> list[str]:
    """Return the lines of the hub's log that tell of a link that ended."""
    log = fleet.container("hub").logs(since=since).decode(errors="replace").splitlines()
    return [line for line in log if "link " in line and ("disconnected" in line or "closing it" in line)]


def report(tally: Tally, closed: list[str]) -> int:
    """Print what was done and what went wrong; return the exit status."""
    for tool, count in sorted(tally.calls.items()):
        print(f"{tool:16} {count:6} calls   slowest {tally.slowest[tool]:6.2f} s")
    print(f"runs of {RUN_SECONDS} s    {tally.runs:6}")
    for name, found in (("links closed", closed), ("runs lost", tally.lost), ("calls failed", tally.failed)):
        print(f"{name:16} {len(found):6}")
        for line in found[:10]:
            print(f"    {line}")
    return 1 if closed or tally.lost or tally.failed or not tally.runs else 0


def main() -> int:
    """Work, and return 1 if anything was lost."""
    fleet = Deployment()
    since = time.time()
    started = {part: fleet.started_at(part) for part in ("hub", *fleet.projects)}
    with busy_machine(PROCESSES):
        tally = asyncio.run(drive(fleet.port, fleet.token(), fleet.projects))
        print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {PROCESSES} busy processes")
    restarted = [part for part, at in started.items() if fleet.started_at(part) != at]
    return report(tally, [*links_closed(fleet, since), *(f"{part} was restarted" for part in restarted)])


if __name__ == "__main__":
    sys.exit(main())
