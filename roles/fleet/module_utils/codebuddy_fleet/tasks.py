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
    """A task: its command line, and the formats in which it reports, if it has some."""

    argv: list[str]
    formats: tuple[str, ...] = ()


def read_tasks(reader: Reader, value: Any) -> dict[str, Task]:
    """Read the tasks of a project, by name."""
    if not isinstance(value, dict):
        reader.say("project_tasks must map the name of a task to its command.")
        return {}
    for name in value:
        reader.read("the name of task", values.identifier, name, "")
    return {str(name): _task(reader, str(name), item) for name, item in value.items()}


def _task(reader: Reader, name: str, value: Any) -> Task:
    """Read a task: a command line, or a mapping that has one as ``argv`` and says in which formats it reports."""
    if not isinstance(value, dict):
        return Task(reader.read(f"task {name}", values.command, value, []))
    for key in sorted(set(map(str, value)) - {"argv", "format"}):
        reader.say(f"task {name} has the key {key!r}: a task has argv and format.")
    argv: list[str] = reader.read(f"task {name}: argv", values.command, value.get("argv"), [])
    given = value.get("format")
    formats = tuple(given) if isinstance(given, (list, tuple)) else () if given is None else (given,)
    if unknown := [one for one in formats if one not in REPORT_FORMATS]:
        reader.say(f"task {name}: format {unknown[0]!r} is unknown: use one of {', '.join(REPORT_FORMATS)}.")
    elif ("junit" in formats) != any(REPORT in word for word in argv) and formats:
        told = "junit needs" if "junit" in formats else f"{formats[0]} has no use for"
        reader.say(
            f"task {name}: the format {told} the file {REPORT}: junit is read from the file that the task "
            f"writes there, like --junitxml={REPORT}; all others are read from what it prints."
        )
    return Task(argv, formats)
