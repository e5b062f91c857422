"""The declared tasks of a project: what a name runs, and how its report is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import values
from .reading import Reader

__all__ = ["REPORT_FORMATS", "Task", "read_tasks"]

REPORT = "{report}"  # in a task's argument: the file that it writes its report to
REPORT_FORMATS = (
    "junit", "go-test", "cargo-test", "tap", "pytest", "tsc", "mypy", "ruff", "cargo", "go", "gcc", "pyflakes", "black",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A task: its command line, and the format in which it reports, if it has one."""

    argv: list[str]
    format: str | None = None


def read_tasks(reader: Reader, value: Any) -> dict[str, Task]:
    """Read the tasks of a project, by name."""
    if not isinstance(value, dict):
        reader.say("project_tasks must map the name of a task to its command.")
        return {}
    for name in value:
        reader.read("the name of task", values.identifier, name, "")
    return {str(name): _task(reader, str(name), item) for name, item in value.items()}


def _task(reader: Reader, name: str, value: Any) -> Task:
    """Read a task: a command line, or a mapping that has one as ``argv`` and says in which format it reports."""
    if not isinstance(value, dict):
        return Task(reader.read(f"task {name}", values.command, value, []))
    for key in sorted(set(map(str, value)) - {"argv", "format"}):
        reader.say(f"task {name} has the key {key!r}: a task has argv and format.")
    argv: list[str] = reader.read(f"task {name}: argv", values.command, value.get("argv"), [])
    known = value.get("format")
    if known is None:
        return Task(argv)
    if known not in REPORT_FORMATS:
        reader.say(f"task {name}: format {known!r} is unknown: use one of {', '.join(REPORT_FORMATS)}.")
    elif (known == "junit") != any(REPORT in word for word in argv):
        told = "needs" if known == "junit" else "has no use for"
        reader.say(
            f"task {name}: the format {known} {told} the file {REPORT}: junit is read from the file that the task "
            f"writes there, like --junitxml={REPORT}; all others are read from what it prints."
        )
    return Task(argv, str(known))
