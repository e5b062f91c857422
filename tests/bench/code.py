"""Compares find_references through the hub with the same request over a language server's stdio.

For each project of the ``languages`` scenario: the time from the start of its container to the first complete and right
answer; then, in turn, the medians of the warm request to the hub over WebSocket, and directly to another process of the
same server in the same container. A wrong answer counts as a failure, not as a time. After that, for two projects, the
same warm comparison in a project of 1,500 files with 3,000 uses, of which the hub gives the first page.

    tests/bench/code.py [project ...]
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hub/src"), str(ROOT / "tests/support")]

import ansible.module_utils  # noqa: E402

ansible.module_utils.__path__ += [str(folder) for folder in sorted(ROOT.glob("roles/*/module_utils"))]

from codebuddy_testing.case_projects import PROFILES, case_directory, cases_of, reset_project  # noqa: E402
from codebuddy_testing.deployment import SPOKE_PYTHON, Deployment  # noqa: E402
from codebuddy_testing.language_cases import Location, locations_of, texts_of  # noqa: E402

STARTS = 3
ROUNDS = 300
BIG_ROUNDS = 30
BIG_FILES = 1500
BIG = ("ts-tsc", "py-ty")
CASE = "workspace package"
READY_SECONDS = 180.0

MEMORY = """
import os
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{name}/cmdline").read().split(chr(0))
        if "codebuddy" in words and "spoke" in words:
            lines = open(f"/proc/{name}/smaps_rollup").read().splitlines()[1:]
            print(*(line.split()[1] for key in ("Rss", "Pss") for line in lines if line.startswith(key + ":")))
    except OSError:
        pass
"""


@dataclass
class Measured:
    """The measurements of one server, in seconds; memory in MB."""

    starts: list[float] = field(default_factory=list)
    hub: list[float] = field(default_factory=list)
    direct: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Question:
    """A request to a project, and the locations that must and may be in the answer."""

    project: str
    ask: Location
    must: set[tuple[str, int, int]]
    may: set[tuple[str, int, int]]
    texts: dict[str, str]

    @classmethod
    def of(cls, project: str) -> Question:
        """Take the question from the project's cases."""
        profile = PROFILES[project]
        texts = texts_of(case_directory(profile))
        case = next(one for one in cases_of(profile) if (one.tool, one.name) == ("find_references", CASE))
        must = {location[:3] for one in case.expected for location in locations_of(texts, one)}
        may = {location[:3] for one in case.allowed for location in locations_of(texts, one)}
        return cls(project, locations_of(texts, case.position)[0], must, may, texts)

    def right(self, found: set[tuple[str, int, int]]) -> bool:
        """Say whether an answer has all locations that it must have, and none that it must not."""
        return self.must <= found <= self.must | self.may

    def utf16(self, location: tuple[str, int, int]) -> tuple[str, int, int]:
        """Return a location as LSP counts it."""
        path, line, column = location
        before = self.texts[path].split("\n")[line - 1][: column - 1]
        return path, line - 1, len(before.encode("utf-16-le")) // 2


def big_project(project: str) -> tuple[Question, dict[str, str]]:
    """Return a question about a function with many uses, and the files that have them."""
    if PROFILES[project] == "typescript":
        declared, use, suffix = "export function thing() {}\n", "import {{ thing }} from '../thing';\nthing();\n", "ts"
    else:
        declared, use, suffix = "def thing(): ...\n", "from thing import thing\nthing()\n", "py"
    files = {f"d{number % 30}/f{number}.{suffix}": use.format() for number in range(BIG_FILES)}
    texts = {f"thing.{suffix}": declared, **files, **({"tsconfig.json": "{}"} if suffix == "ts" else {})}
    column = declared.index("thing") + 1
    must = {(f"thing.{suffix}", 1, column)}
    for path, text in files.items():
        must |= {(path, 1, text.split("\n")[0].index("thing", 10 if suffix == "py" else 0) + 1), (path, 2, 1)}
    return Question(project, Location(f"thing.{suffix}", 1, column, column + 5), must, set(), texts), texts


class Hub:
    """A minimal JSON-RPC client of the hub over WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last_id = 0

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        """Send a request and return its result."""
        self._last_id += 1
        await self._socket.send(json.dumps({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == self._last_id:
                return message["result"]

    async def initialize(self) -> None:
        """Do the handshake of MCP."""
        info = {"name": "bench", "version": "1"}
        await self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info})
        await self._socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))

    async def references(self, question: Question) -> tuple[float, dict[str, Any], set[tuple[str, int, int]]]:
        """Return how long find_references took, its answer, and the locations in it."""
        location = question.ask
        place = {"path": f"{question.project}/{location.path}", "line": location.line, "column": location.column}
        start = time.perf_counter()
        result = await self.ask(
            "tools/call", {"name": "find_references", "arguments": {**place, "timeout_seconds": 60, "detail": "full"}}
        )
        seconds = time.perf_counter() - start
        content = dict(result["structuredContent"])
        return (
            seconds,
            content,
            {
                (item["path"].removeprefix(f"{question.project}/"), item["line"], item["column"])
                for item in content.get("locations", ())
            },
        )


async def start(fleet: Deployment, hub: Hub, question: Question, measured: Measured) -> None:
    """Start a spoke, and ask until an answer says that it is complete."""
    container = fleet.container(question.project)
    container.stop()
    began = time.perf_counter()
    await asyncio.to_thread(container.start)
    while True:
        _, content, found = await hub.references(question)
        took = time.perf_counter() - began
        if content.get("complete"):
            break
        if took > READY_SECONDS:
            measured.failures.append(f"no complete answer after {took:.0f} s: {content.get('message')}")
            return
        await asyncio.sleep(0.02)  # the hub answers at once for an offline spoke
    if question.right(found):
        measured.starts.append(took)
    else:
        measured.failures.append(f"after {took:.1f} s, complete and wrong: {sorted(found)}")


@contextmanager
def direct(fleet: Deployment, question: Question) -> Iterator[subprocess.Popen[str]]:
    """Run the direct client in the spoke."""
    program = (ROOT / "tests/support/codebuddy_testing/direct_lsp.py").read_text()
    path, line, character = question.utf16(question.ask[:3])
    asked = json.dumps({"path": path, "line": line, "character": character})
    command = ["docker", "exec", "-i", f"{fleet.name}-{question.project}", SPOKE_PYTHON, "-c", program, asked]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def ask_direct(process: subprocess.Popen[str], question: Question) -> tuple[float, bool]:
    """Ask the direct client once; return how long its server took, and whether the answer was right."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    answer = json.loads(process.stdout.readline())
    found = {tuple(place) for place in answer["found"]}
    must, may = ({question.utf16(location) for location in places} for places in (question.must, question.may))
    return answer["seconds"], must <= found <= must | may


async def warm(fleet: Deployment, hub: Hub, question: Question, measured: Measured) -> None:
    """Measure both in turn."""
    with direct(fleet, question) as process:
        deadline = time.monotonic() + READY_SECONDS
        while not ask_direct(process, question)[1]:  # the direct client does not know when the server is ready
            assert time.monotonic() < deadline, f"{question.project}: the direct answer does not become right"
        for _ in range(ROUNDS):
            seconds, content, found = await hub.references(question)
            if content.get("complete") and question.right(found):
                measured.hub.append(seconds)
            else:
                measured.failures.append(f"warm: {content.get('message') or sorted(found)}")
            seconds, right = ask_direct(process, question)
            if right:
                measured.direct.append(seconds)
            else:
                measured.failures.append("warm: the direct answer was wrong")


async def big(fleet: Deployment, hub: Hub, project: str, folder: Path) -> Measured:
    """Measure both in turn in a project with many uses; the hub gives the first of several pages."""
    question, texts = big_project(project)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    reset_project(fleet.path(project), folder)
    measured = Measured()
    try:
        with direct(fleet, question) as process:
            deadline = time.monotonic() + READY_SECONDS
            while not ask_direct(process, question)[1]:
                assert time.monotonic() < deadline, f"{project}: the direct answer does not become right"
            for _ in range(BIG_ROUNDS):
                seconds, content, found = await hub.references(question)
                if found <= question.must and f" of {len(question.must)};" in str(content.get("message")):
                    measured.hub.append(seconds)
                else:
                    measured.failures.append(f"many uses: {content.get('message')}, {len(found)} locations")
                measured.direct.append(ask_direct(process, question)[0])
    finally:
        reset_project(fleet.path(project), case_directory(PROFILES[project]))
    return measured


def memory(fleet: Deployment, project: str) -> tuple[float, float]:
    """Return the RSS and PSS of a spoke's agent in MB, without its language servers."""
    rss, pss = fleet.python(project, MEMORY).output.split()
    return int(rss) / 1024, int(pss) / 1024


def row(project: str, measured: Measured) -> str:
    """Return a line of the table."""
    begun = statistics.median(measured.starts) if measured.starts else float("nan")
    ours = statistics.median(measured.hub) * 1e3 if measured.hub else float("nan")
    theirs = statistics.median(measured.direct) * 1e3 if measured.direct else float("nan")
    rss, pss = measured.memory
    return (
        f"{project:16} {begun:9.2f} s {ours:9.2f} ms {theirs:9.2f} ms {ours - theirs:+9.2f} ms {ours / theirs:7.2f}"
        f" {rss:7.1f} {pss:7.1f} {len(measured.failures):9}"
    )


async def main(projects: list[str]) -> int:
    """Measure, and print a line for each project; return the number of failures."""
    fleet = Deployment()
    print(
        f"{'find_references':16} {'start':>11} {'hub p50':>12} {'direct p50':>12} {'difference':>12} {'ratio':>7}"
        f" {'RSS MB':>7} {'PSS MB':>7} {'failures':>9}"
    )
    failures = 0
    headers = {"Authorization": f"Bearer {fleet.token()}"}
    async with connect(f"ws://127.0.0.1:{fleet.port}/", additional_headers=headers, proxy=None) as socket:
        hub = Hub(socket)
        await hub.initialize()
        for project in projects:
            reset_project(fleet.path(project), case_directory(PROFILES[project]))
            question, measured = Question.of(project), Measured()
            for _ in range(STARTS):
                await start(fleet, hub, question, measured)
            await warm(fleet, hub, question, measured)
            measured.memory = memory(fleet, project)
            print(row(project, measured), flush=True)
            for failure in list(dict.fromkeys(measured.failures))[:5]:
                print(f"    {failure}", flush=True)
            failures += len(measured.failures)
        for project in [name for name in BIG if name in projects]:
            with tempfile.TemporaryDirectory() as folder:
                measured = await big(fleet, hub, project, Path(folder))
            print(row(f"{project}, many", measured), *measured.failures[:5], sep="\n    ", flush=True)
            failures += len(measured.failures)
    return failures


if __name__ == "__main__":
    os.environ.setdefault("CODEBUDDY_TEST_FLEET", "cblang")
    os.environ.setdefault("CODEBUDDY_TEST_PORT", "3901")
    os.environ.setdefault("CODEBUDDY_TEST_DIR", "~/.cache/codebuddy-test-languages")
    sys.exit(bool(asyncio.run(main(sys.argv[1:] or list(PROFILES)))))
