"""The processes of a container, and signals to them. Process 1 is immune to signals from within its container."""

from __future__ import annotations

import json
import signal
from typing import NamedTuple

from codebuddy_testing.deployment import Deployment

PROCESSES = """
import json, os
found = []
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        after = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()
        words = open(f"/proc/{name}/cmdline").read().rstrip(chr(0)).split(chr(0))
    except OSError:
        continue
    if int(name) != os.getpid() and after[0] != "Z":
        found.append([int(name), int(after[1]), int(after[19]), words])
print(json.dumps(found))
"""

# A process that was listed a moment ago, such as a compiler, may have ended since.
SIGNAL = """
import contextlib, os, sys
for pid in sys.argv[2:]:
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(pid), int(sys.argv[1]))
"""


class Process(NamedTuple):
    """A process in a container; its pid and start time together are never reused."""

    pid: int
    parent: int
    started: int
    words: tuple[str, ...]

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.started


def processes(fleet: Deployment, part: str) -> list[Process]:
    """List the processes of a container, zombies left out."""
    done = fleet.python(part, PROCESSES)
    assert done.code == 0, done.output
    return [Process(pid, parent, started, tuple(words)) for pid, parent, started, words in json.loads(done.output)]


def running(fleet: Deployment, part: str, word: str) -> list[Process]:
    """List the processes that have a word on their command line, except process 1, which only starts the program."""
    return [one for one in processes(fleet, part) if word in one.words and one.pid != 1]


def send(fleet: Deployment, part: str, number: int, *targets: Process) -> None:
    """Send a signal to processes of a container."""
    done = fleet.python(part, SIGNAL, str(number), *(str(one.pid) for one in targets))
    # A container ends with its program, which may end the sender of the signal before it can exit.
    assert done.code in (0, 128 + signal.SIGKILL), done


def kill(fleet: Deployment, part: str, word: str) -> list[Process]:
    """Kill the processes that have a word on their command line, and return them."""
    found = running(fleet, part, word)
    assert found, f"no process in {part} has {word} on its command line"
    send(fleet, part, signal.SIGKILL, *found)
    return found
