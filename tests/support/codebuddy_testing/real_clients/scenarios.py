"""What every client is put through: scripts for the model, and what each should see."""

from __future__ import annotations

import math
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codebuddy_testing.deployment import Deployment
from codebuddy_testing.processes import kill, running
from codebuddy_testing.real_clients.client import Client, Place
from codebuddy_testing.real_clients.model_server import model_server
from codebuddy_testing.real_clients.running import RunningClient, running_client
from codebuddy_testing.real_clients.script import Call, ScriptedModel

PROJECT = "project-a"
FILE = f"{PROJECT}/package.json"
IN_FILE = "typescript-app"
MISSING = f"{PROJECT}/not-there.txt"
ERROR = re.compile(r"not_found\b.*There is nothing at this path", re.DOTALL)

READ = Call("read_file", {"path": FILE})
BASICS = [
    READ,
    Call("read_file", {"path": MISSING}),
    # Its output comes in two parts, so that there is progress before its end.
    Call("run_command", {"argv": ["sh", "-c", "echo first; sleep 1; echo last"], "projects": [PROJECT]}),
]

SILENT_SECONDS = 90
SILENT_END = "silence: 42"  # which does not stand on the command line

START_SECONDS = 90.0
"""How long a client may take to do a script, beside the time of the calls themselves."""

GOES_ON_SECONDS = 20.0
"""A run that has not ended so long after its client went away goes on."""

_JOB = re.compile(rf"{PROJECT}:[0-9a-f]+")


def run_without_end(marker: str) -> Call:
    """Return a call of a run that does not end by itself; ``marker`` is a number on its command line."""
    return Call("run_command", {"argv": ["sleep", marker], "projects": [PROJECT]})


def _job_output(results: Sequence[str]) -> dict[str, Any] | None:
    job = _JOB.search(results[0])
    if job is None or SILENT_END in results[-1]:
        return None
    return {"job_id": job.group(), "wait_seconds": 40}


_LOOK = Call("job_output", _job_output)

SILENT = [
    Call(
        "run_command",
        {"argv": ["sh", "-c", f"sleep {SILENT_SECONDS}; echo silence: $((6 * 7))"], "projects": [PROJECT]},
    ),
    # What a model does when it is told of a job meanwhile.
    *(3 * [_LOOK]),
]


@dataclass
class Seen:
    """What came of a script."""

    model: ScriptedModel
    client: RunningClient
    seconds: float = 0.0

    @property
    def results(self) -> list[str]:
        """What the model saw of each call."""
        return self.model.results

    def has(self, number: int, words: str | re.Pattern[str]) -> bool:
        """Say whether the model saw these words as the result of a call."""
        if not -len(self.results) <= number < len(self.results):
            return False
        return re.search(words, self.results[number]) is not None

    def account(self) -> str:
        """Return what a failed test shows."""
        parts = [f"results: {self.results}", f"not offered: {self.model.missing}", self.client.output()[-3000:]]
        return "\n".join(parts)


@dataclass(frozen=True)
class Bench:
    """The fleet and a client in front of it."""

    fleet: Deployment
    client: Client
    home: Path
    known: frozenset[str]

    @contextmanager
    def start(self, script: Sequence[Call]) -> Iterator[Seen]:
        """Start the client with a script for its model; end it afterwards."""
        model = ScriptedModel(script, self.known, self.client.prefixed)
        with model_server(model) as server:
            hub = f"http://127.0.0.1:{self.fleet.port}/mcp"
            stdio = [sys.executable, "-I", str(self.fleet.state / "codebuddy-stdio.py"), f"{self.fleet.name}-hub"]
            place = Place(self.home, hub, self.fleet.token(), stdio, server.url)
            command = self.client.start(self.client, place)
            with running_client(command, self.home) as started:
                yield Seen(model, started)

    def finish(self, script: Sequence[Call], seconds: float = START_SECONDS) -> Seen:
        """Let the client do a whole script."""
        begun = time.monotonic()
        with self.start(script) as seen:
            seen.client.wait(seconds)
        seen.seconds = time.monotonic() - begun
        return seen

    def marker(self) -> str:
        """Return a number that stands on the command line of one run."""
        return str(uuid.uuid4().int)[:12]

    def runs(self, marker: str) -> bool:
        """Say whether a run goes on in its spoke."""
        return bool(running(self.fleet, PROJECT, marker))

    def end_of_run(self, marker: str, end: Callable[[], None]) -> float:
        """Do something to the client, and return how many seconds later its run has ended; infinity if it goes on."""
        begun = time.monotonic()
        end()
        while self.runs(marker):
            if time.monotonic() - begun > GOES_ON_SECONDS:
                kill(self.fleet, PROJECT, marker)
                return math.inf
            time.sleep(0.05)
        return time.monotonic() - begun
