"""Repeatedly kills a process that makes edits, and checks that none was left half applied.

A child makes random edits over several projects in an endless loop, and records before each the expected files. The
parent kills it at a random instant, recovers as a starting hub does, and compares. Needs only the package `codebuddy`
and the standard library, so it also runs in a hub's container, on its mounts:

    docker exec -i codebuddy-hub python3 - --root /workspaces/* --journal /tmp < crash_rounds.py

Prints the counts as one line of JSON; the exit code is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import stat
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from codebuddy.files.confinement import Workspaces
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits.disk_view import DiskView
from codebuddy.hub.edits.draft import Draft, Plan
from codebuddy.hub.edits.engine import EditEngine
from codebuddy.hub.edits.journal import Journal
from codebuddy.hub.edits.recovery import recover, undo_plan
from codebuddy.tool import ToolError

__all__ = ["DIRECTORY", "Impossible", "Names", "Thing", "Trees", "main"]

Names = tuple[str, ...]  # the project, then the names below it
Thing = tuple[str, int, bytes]  # kind, mode, and a file's content or a link's target
Digests = dict[str, str]  # path → digest of the entry
Note = tuple[str, Digests, str]  # kind (``begun``, ``done``, ...); the expected or present files; a remark

DIRECTORY: Thing = ("directory", 0o755, b"")
_TEMPORARY = ".codebuddy-"
_KEPT = 1 << 20, 1e9  # bytes and seconds
_LOSSES = ("wrong", "half_applied", "lost_files", "stray_temporaries", "recovered_unfinished", "died")


class Impossible(Exception):
    """The operation cannot be done."""


class Trees:
    """A model of the projects' files, on which the steps of a draft take effect at once.

    Args:
        things: all entries, including the projects' own directories.
    """

    def __init__(self, things: dict[Names, Thing]) -> None:
        self.things = things

    @classmethod
    def read(cls, roots: dict[str, Path]) -> Trees:
        """Read the projects from the disk, without the temporary files that an edit may still be removing."""
        things: dict[Names, Thing] = {}
        for project, root in roots.items():
            things[project,] = DIRECTORY
            for here, directories, files in os.walk(root):
                directories[:] = [name for name in directories if not name.startswith(_TEMPORARY)]
                for name in (*directories, *(name for name in files if not name.startswith(_TEMPORARY))):
                    place = Path(here, name)
                    things[(project, *place.relative_to(root).parts)] = _read(place)
        return cls(things)

    def copy(self) -> Trees:
        """Return an independent copy."""
        return type(self)(dict(self.things))

    def write(self, path: Names, content: bytes, mode: int | None = None) -> None:
        """Write a file and its missing parents."""
        path = self.real(path)
        kind, kept, _ = self.things.get(path, ("file", 0o644, b""))
        if kind != "file":
            raise Impossible
        self._make_parents(path)
        self.things[path] = ("file", kept if mode is None else mode, content)

    def make_directory(self, path: Names) -> None:
        """Make a directory and its missing parents, unless it exists."""
        path = self.real(path)
        if self.things.get(path, DIRECTORY)[0] != "directory":
            raise Impossible
        self._make_parents(path)
        self.things.setdefault(path, DIRECTORY)

    def delete(self, path: Names, *, recursive: bool = True) -> None:
        """Delete an entry and what is below it."""
        path = self._entry(path)
        if path not in self.things or (self._below(path) and not recursive):
            raise Impossible
        for gone in (path, *self._below(path)):
            del self.things[gone]

    def move(self, source: Names, target: Names, *, overwrite: bool = True) -> None:
        """Move an entry and what is below it."""
        source, target = self._entry(source), self._entry(target)
        if source not in self.things or (source != target and target[: len(source)] == source):
            raise Impossible
        if source == target:
            return
        if target in self.things:
            if not overwrite or self.things[target][0] == "directory":
                raise Impossible
            del self.things[target]
        self._make_parents(target)
        for path in (source, *self._below(source)):
            self.things[target + path[len(source) :]] = self.things.pop(path)

    def real(self, path: Names) -> Names:
        """Resolve the links in a path; in this model no path leads through a link."""
        return path

    def _entry(self, path: Names) -> Names:
        if len(path) < 2:
            raise Impossible
        return (*self.real(path[:-1]), path[-1])

    def _below(self, path: Names) -> list[Names]:
        return [other for other in self.things if len(other) > len(path) and other[: len(path)] == path]

    def _make_parents(self, path: Names) -> None:
        for depth in range(1, len(path)):
            if self.things.setdefault(path[:depth], DIRECTORY)[0] != "directory":
                raise Impossible

    @property
    def digests(self) -> Digests:
        """All entries as digests, short enough to be recorded before every edit."""
        things = self.things.items()
        return {"/".join(path): f"{kind} {mode:o} {_digest(content)}" for path, (kind, mode, content) in things}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _read(place: Path) -> Thing:
    status = place.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "link", 0, os.fsencode(place.readlink())
    if stat.S_ISDIR(status.st_mode):
        return "directory", stat.S_IMODE(status.st_mode), b""
    return "file", stat.S_IMODE(status.st_mode), place.read_bytes()


# The child ------------------------------------------------------------------------------------------------------------


class Editor:
    """Makes random edits in an endless loop, and records the expected files before each."""

    def __init__(self, roots: dict[str, Path], journal: Path, notes: int, chance: random.Random) -> None:
        self._roots, self._workspaces, self._notes, self._chance = roots, Workspaces(roots), notes, chance
        self._journal = Journal(journal, *_KEPT)
        self._engine = EditEngine(self._workspaces, self._journal)
        self._trees = Trees.read(roots)
        self._last: tuple[str, Trees] | None = None  # the last edit and the files before it

    def run(self) -> None:
        """Edit until killed."""
        self._note("done", self._trees.digests)
        while True:
            try:
                wanted, plan, preview = self._choose()
                told = ", ".join(f"{change.source} -> {change.target}" for change in plan.changes)
                self._note("begun", wanted.digests, f"{plan.tool}: {told}")
                outcome = self._engine.apply(plan, preview=preview)
            except ToolError as error:
                self._note("refused", self._trees.digests, f"{error.code}: {error.message}")
                self._last = None
                continue
            self._note("done", wanted.digests)
            found = Trees.read(self._roots)
            if found.things != wanted.things:
                self._note("wrong", found.digests, f"{told}: {_difference(wanted.digests, found.digests)}")
            self._last = None if outcome.edit is None else (outcome.edit, self._trees)
            self._trees = found

    def _note(self, kind: str, digests: Digests, remark: str = "") -> None:
        os.write(self._notes, json.dumps([kind, digests, remark]).encode() + b"\n")

    def _choose(self) -> tuple[Trees, Plan, bool]:
        """Choose an edit; return the files after it, its plan, and whether it is only a preview."""
        if self._last is not None and self._chance.random() < 0.2:
            edit, before = self._last
            entry = self._journal.get(edit)
            if entry is not None:
                return before, undo_plan(self._journal, entry, DiskView(self._workspaces, 1 << 22), "child"), False
        wanted, draft = self._trees.copy(), Draft(self._workspaces)
        for _ in range(self._chance.choice((1, 1, 2, 3, 5, 9))):
            name, *arguments = self._operation(wanted)
            tried = wanted.copy()
            try:
                getattr(tried, name)(*arguments)
            except Impossible:
                continue
            wanted = tried
            paths = [WorkspacePath(part[0], part[1:]) if isinstance(part, tuple) else part for part in arguments]
            options = {"delete": {"recursive": True}, "move": {"overwrite": True}}.get(name, {})
            getattr(draft, name)(*paths, **options)
        preview = self._chance.random() < 0.1
        return self._trees if preview else wanted, draft.plan("edit", "child"), preview

    def _operation(self, trees: Trees) -> tuple[Any, ...]:
        name = self._chance.choice(("write", "write", "write", "make_directory", "delete", "move", "move"))
        new = (self._chance.choice([*self._roots]), *self._chance.choices("abcd", k=self._chance.choice((1, 2, 2, 3))))
        old = self._chance.choice([path for path in trees.things if len(path) > 1] or [new])
        if len(trees.things) > 40:
            return "delete", old
        if name == "write":
            content = self._chance.randbytes(self._chance.choice((0, 3, 300, 9000)))
            return name, self._chance.choice((old, new)), content
        return {"make_directory": (name, new), "move": (name, old, new), "delete": (name, old)}[name]


def _difference(wanted: Digests, found: Digests) -> str:
    missing, added = wanted.items() - found.items(), found.items() - wanted.items()
    return f"missing {sorted(missing)}, added {sorted(added)}"


# The parent -----------------------------------------------------------------------------------------------------------


def one_round(roots: dict[str, Path], scratch: Path, chance: random.Random) -> Counter[str]:
    """Start a child, kill it, recover, and count the outcomes."""
    journal, notes = scratch / "journal", scratch / "notes"
    notes.unlink(missing_ok=True)
    fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seed, delay = chance.getrandbits(64), chance.uniform(0, 0.03)
    child = os.fork()
    if child == 0:
        try:
            Editor(roots, journal, fd, random.Random(seed)).run()
        finally:
            logging.exception("the child exited by itself")
            os._exit(1)
    os.close(fd)
    while not notes.stat().st_size and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    counts = Counter(died=int(not os.WIFSIGNALED(os.waitpid(child, 0)[1])))
    counts.update(f"recovered_{end}" for end in recover(Workspaces(roots), Journal(journal, *_KEPT)).values())
    lines = notes.read_bytes().splitlines(keepends=True)
    counts.update(
        compare(roots, [json.loads(line) for line in lines if line.endswith(b"\n")])
    )  # the last may be incomplete
    return counts


def compare(roots: dict[str, Path], notes: list[Note]) -> Counter[str]:
    """Compare the files with the recorded ones, and remove temporary files that were left behind."""
    counts = Counter(kind for kind, *_ in notes[1:])
    for kind, _, remark in notes:
        if kind in ("refused", "wrong"):
            logging.warning("%s: %s", kind, remark)
    for place in [place for root in roots.values() for place in root.rglob(_TEMPORARY + "*")]:
        counts["stray_temporaries"] += 1
        logging.warning("left behind: %s", place)
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
    # An edit without a note that it is done may be applied or not; one with a note must be applied.
    is_open = notes[-1][0] == "begun"
    counts["kills_in_an_edit"] += is_open
    allowed = [digests for _, digests, _ in notes[-2 if is_open else -1 :]]
    found = Trees.read(roots).digests
    if found not in allowed:
        counts["half_applied"] += 1
        sure = set.intersection(*({*digests.values()} for digests in allowed))  # at whatever path
        counts["lost_files"] += len(sure - {*found.values()})
        for kind, digests, remark in notes[-8:]:
            logging.warning("%s %s: %s", kind, remark, _difference(digests, found))
    return counts


def main() -> int:
    """Run the rounds, and print one line of JSON; return 1 if anything was lost or left behind, otherwise 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="repeats the random choices, though not the instants of the kills")
    parser.add_argument(
        "--root", type=Path, nargs="+", required=True, help="projects; each run uses a new directory in them"
    )
    parser.add_argument(
        "--journal", type=Path, required=True, help="parent of the new directory that holds the journal"
    )
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    own = f"crash-rounds-{os.getpid()}"
    roots, scratch = {f"p{number}": root / own for number, root in enumerate(options.root)}, options.journal / own
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("codebuddy").setLevel(logging.ERROR)  # unfinished edits are expected here
    counts = Counter(dict.fromkeys(("done", "kills_in_an_edit", "refused", *_LOSSES), 0))
    chance = random.Random(seed)
    try:
        for directory in (*roots.values(), scratch):
            directory.mkdir()
        for root in roots.values():
            (root / "link").symlink_to("a/b")
        for _ in range(options.rounds):
            counts.update(one_round(roots, scratch, chance))
    finally:
        for directory in (*roots.values(), scratch):
            shutil.rmtree(directory, ignore_errors=True)
    counts["edits_applied"] = counts.pop("done")
    del counts["begun"]
    print(json.dumps({"rounds": options.rounds, "seed": seed, **counts}))
    return int(any(counts[loss] for loss in _LOSSES))


if __name__ == "__main__":
    sys.exit(main())
