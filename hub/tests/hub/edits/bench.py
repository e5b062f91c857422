"""A test bench: two projects, a journal and an engine; snapshots of the disk; faults at any disk call."""

from __future__ import annotations

import gc
import os
import signal
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from codebuddy.files.confinement import Workspaces
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import MAX_FILE_BYTES
from codebuddy.hub.edits import disk
from codebuddy.hub.edits.disk_view import DiskView
from codebuddy.hub.edits.draft import Draft
from codebuddy.hub.edits.engine import EditEngine, Outcome
from codebuddy.hub.edits.journal import Entry, Journal
from codebuddy.hub.edits.recovery import recover, undo_plan

PROJECTS = ("a", "b")
MEMORY = "/dev/shm"
_WAITING = ("sync", "sync_data")

Moment = Literal["before", "after"]

Write = Callable[[Draft], object]
Around = Callable[[str, Callable[..., Any], tuple[Any, ...]], Any]
"""Gets a disk call's name, the call itself, and its arguments; gives its result."""


class Thing(NamedTuple):
    """Everything that an edit must keep of a file, directory or link."""

    kind: str
    mode: int
    owner: tuple[int, int]
    content: bytes
    attributes: dict[str, bytes]
    names: tuple[str, ...]  # all of them, where there are several (hard links)


class Bench:
    """Projects `a` and `b` below a directory, and a journal beside them."""

    def __init__(self, base: Path) -> None:
        self.base, self.a, self.b, self.journal_directory = base, base / "a", base / "b", base / "journal"
        for project in PROJECTS:
            (base / project).mkdir(parents=True)
        self.open()

    def open(self) -> None:
        """Open as the hub does when it starts, without recovery."""
        self.workspaces = Workspaces({project: self.base / project for project in PROJECTS})
        self.journal = Journal(self.journal_directory, 64 << 20, 1e9)
        self.engine = EditEngine(self.workspaces, self.journal)

    def close(self) -> None:
        self.engine.close()

    def restart(self) -> dict[str, str]:
        """Close, open again and recover; return what `recover` returns."""
        self.close()
        return self.recover()

    def recover(self) -> dict[str, str]:
        """Open again after a crash and recover."""
        self.open()
        return recover(self.workspaces, self.journal)

    def draft(self) -> Draft:
        return Draft(self.workspaces)

    def apply(self, write: Write, *, preview: bool = False) -> Outcome:
        """Make an edit of what a function adds to a draft."""
        draft = self.draft()
        write(draft)
        return self.engine.apply(draft.plan("test", "tester"), preview=preview)

    def undo(self, edit: str | None) -> Outcome:
        assert edit is not None
        entry = self.journal.get(edit)
        assert entry is not None, f"edit {edit} is not in the journal"
        view = DiskView(self.workspaces, MAX_FILE_BYTES)
        return self.engine.apply(undo_plan(self.journal, entry, view, "tester"))

    def standing(self) -> list[Entry]:
        """The edits that the journal holds as applied, the oldest first."""
        return [entry for entry in self.journal.entries() if entry.state in ("applied", "settled")]

    def tree(self) -> dict[str, Thing]:
        """Everything in both projects, once the engine has removed what was replaced."""
        self.engine.wait_until_removed()
        return {name: thing for project in PROJECTS for name, thing in _things(self.base, project)}

    def temporaries(self) -> list[str]:
        """Temporary files that edits left behind."""
        return [name for name in self.tree() if ".codebuddy" in name]


def path(text: str) -> WorkspacePath:
    return WorkspacePath.parse(text)


def _things(base: Path, project: str) -> Iterator[tuple[str, Thing]]:
    names: dict[tuple[int, int], list[str]] = {}
    found = []
    for here, directories, files in os.walk(base / project):
        for name in (*directories, *files):
            place = os.path.join(here, name)
            status = os.lstat(place)
            relative = os.path.relpath(place, base)
            found.append((relative, place, status))
            if not stat.S_ISDIR(status.st_mode):
                names.setdefault((status.st_dev, status.st_ino), []).append(relative)
    for relative, place, status in found:
        same = sorted(names.get((status.st_dev, status.st_ino), []))
        yield relative, _thing(place, status, tuple(same) if len(same) > 1 else ())


def _thing(place: str, status: os.stat_result, names: tuple[str, ...]) -> Thing:
    owner, mode = (status.st_uid, status.st_gid), stat.S_IMODE(status.st_mode)
    if os.environ.get("NOMODE"):
        mode = 0
    if stat.S_ISLNK(status.st_mode):
        return Thing("link", 0, owner, os.fsencode(os.readlink(place)), {}, names)
    attributes = {name: os.getxattr(place, name) for name in os.listxattr(place)}
    if stat.S_ISDIR(status.st_mode):
        return Thing("directory", mode, owner, b"", attributes, ())
    return Thing("file", mode, owner, Path(place).read_bytes(), attributes, names)


# Faults ---------------------------------------------------------------------------------------------------------------


@contextmanager
def around_disk(around: Around) -> Iterator[None]:
    """Route every disk call through a function."""
    calls = {
        name: call
        for name, call in vars(disk).items()
        if getattr(call, "__module__", "") == disk.__name__ and name[0].islower()
    }
    try:
        for name, call in calls.items():
            setattr(disk, name, _wrapped(name, call, around))
        yield
    finally:
        for name, call in calls.items():
            setattr(disk, name, call)


def _wrapped(name: str, call: Callable[..., Any], around: Around) -> Callable[..., Any]:
    return lambda *arguments: around(name, call, arguments)


def die() -> None:
    """End this process at once, as by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


def survives(work: Callable[[], object]) -> bool:
    """Run a function in a child process; say whether it returned or was killed.

    Raises:
        AssertionError: it failed in another way.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads, which the child does without
        child = os.fork()
    if child == 0:
        gc.disable()  # which would copy every page
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"in the child: {error!r}\n".encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0, "the child failed"
    return True


class Countdown:
    """Kills this process at one of its disk calls, not counting syncs: a kill there equals one at the next call."""

    def __init__(self, number: int, moment: Moment) -> None:
        self._left, self._moment, self._guard = number, moment, threading.Lock()

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        with self._guard:
            self._left -= name not in _WAITING
            is_now = self._left == 0 and name not in _WAITING
        if is_now and self._moment == "before":
            die()
        result = call(*arguments)
        if is_now:
            die()
        return result
