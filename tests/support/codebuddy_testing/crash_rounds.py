"""Kills a process that edits, again and again, and looks whether any edit was left half-done.

A child makes random edits over several projects in an endless loop, and writes down before each what the trees will be.
The parent kills it at a random instant, recovers as a hub does at its start, and compares. Needs nothing but the package
`codebuddy` and the standard library, so it also runs inside a hub, on its own mounts:

    docker exec -i codebuddy-hub python3 - --root /workspaces/* --journal /tmp < crash_rounds.py

One line of JSON tells what came out; the exit code is 1 if anything was lost.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codebuddy.edits.draft import Draft
from codebuddy.edits.engine import EditEngine
from codebuddy.edits.images import Images
from codebuddy.edits.journal import Journal
from codebuddy.edits.plan import Plan
from codebuddy.edits.recovery import recover
from codebuddy.edits.undo import undo_plan
from codebuddy.errors import ToolError
from codebuddy.workspace import WorkspacePath, Workspaces

__all__ = ["Impossible", "Path_", "Thing", "Trees", "main"]

Path_ = tuple[str, ...]
"""The project, then the names below it."""

Thing = tuple[str, int, bytes]
"""Kind, mode, and a file's content or a link's target."""

DIRECTORY: Thing = ("directory", 0o755, b"")
_MAX_LINKS = 40
_TEMPORARY = ".codebuddy-"
_MAX_JOURNAL_BYTES = 1 << 20
_LOSSES = ("wrong", "half_applied", "lost_files", "stray_temporaries", "recovered_unfinished", "died")


class Impossible(Exception):
    """What is asked for cannot be done."""


class Trees:
    """Projects as they should be: what a file system makes of the steps of a draft, done at once.

    Args:
        things: what there is, the projects themselves among it.
    """

    def __init__(self, things: dict[Path_, Thing]) -> None:
        self.things = things

    @classmethod
    def read(cls, roots: dict[str, Path]) -> Trees:
        """Give what is on the disk, without what an edit that just came to its end is still removing."""
        things: dict[Path_, Thing] = {}
        for project, root in roots.items():
            things[project,] = DIRECTORY
            for here, directories, files in os.walk(root):
                directories[:] = [name for name in directories if not name.startswith(_TEMPORARY)]
                for name in (*directories, *(name for name in files if not name.startswith(_TEMPORARY))):
                    place = Path(here, name)
                    things[(project, *place.relative_to(root).parts)] = _read(place)
        return cls(things)

    def copy(self) -> Trees:
        """Give another that is the same."""
        return Trees(dict(self.things))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trees) and self.things == other.things

    __hash__ = None  # type: ignore[assignment]

    def write(self, path: Path_, content: bytes, mode: int | None = None) -> None:
        """Have a file at a path; a link is followed, missing parents are made."""
        path = self.real(path)
        kind, kept, _ = self.things.get(path, ("file", 0o644, b""))
        if kind == "directory":
            raise Impossible
        self._make_parents(path)
        self.things[path] = ("file", kept if mode is None else mode, content)

    def make_directory(self, path: Path_) -> None:
        """Have a directory at a path."""
        path = self.real(path)
        if self.things.get(path, DIRECTORY)[0] != "directory":
            raise Impossible
        self._make_parents(path)
        self.things.setdefault(path, DIRECTORY)

    def delete(self, path: Path_, *, recursive: bool = False) -> None:
        """Have nothing at a path."""
        path = self.entry(path)
        if path not in self.things or (self.below(path) and not recursive):
            raise Impossible
        for gone in (path, *self.below(path)):
            del self.things[gone]

    def move(self, source: Path_, target: Path_, *, overwrite: bool = False) -> None:
        """Have what is at one path at another."""
        source, target = self.entry(source), self.entry(target)
        if source not in self.things or (source != target and target[: len(source)] == source):
            raise Impossible
        if source == target:
            return
        if target in self.things:
            if not overwrite or self.things[target][0] == "directory":
                raise Impossible
            del self.things[target]
        self._make_parents(target)
        for path in (source, *self.below(source)):
            self.things[target + path[len(source) :]] = self.things.pop(path)

    def below(self, path: Path_) -> list[Path_]:
        """Give what is below a directory."""
        return [other for other in self.things if len(other) > len(path) and other[: len(path)] == path]

    def entry(self, path: Path_) -> Path_:
        """Follow links but the one that the path may end in."""
        if len(path) < 2:
            raise Impossible
        return (*self.real(path[:-1]), path[-1])

    def real(self, path: Path_) -> Path_:
        """Follow links; what is missing is taken to become a directory."""
        here, names, links = path[:1], list(path[1:]), 0
        while names:
            name = names.pop(0)
            if name == "..":
                if len(here) == 1:
                    raise Impossible
                here = here[:-1]
                continue
            kind, _, target = self.things.get((*here, name), DIRECTORY)
            if kind == "link":
                links += 1
                if links > _MAX_LINKS or target.startswith(b"/"):
                    raise Impossible
                names = [part for part in os.fsdecode(target).split("/") if part not in ("", ".")] + names
            elif kind == "file" and names:
                raise Impossible
            else:
                here = (*here, name)
        return here

    def _make_parents(self, path: Path_) -> None:
        for depth in range(1, len(path)):
            if self.things.setdefault(path[:depth], DIRECTORY)[0] != "directory":
                raise Impossible

    @property
    def digests(self) -> dict[str, str]:
        """What there is, short enough to be written down before every edit."""
        return {
            "/".join(path): f"{kind} {mode:o} {hashlib.sha256(content).hexdigest()[:16]}"
            for path, (kind, mode, content) in self.things.items()
        }


def _read(place: Path) -> Thing:
    status = place.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "link", 0, os.fsencode(place.readlink())
    if stat.S_ISDIR(status.st_mode):
        return "directory", stat.S_IMODE(status.st_mode), b""
    return "file", stat.S_IMODE(status.st_mode), place.read_bytes()


# The child ------------------------------------------------------------------------------------------------------------


class Editor:
    """Makes random edits without end.

    Args:
        roots: project → its directory.
        journal: directory of the journal.
        notes: where it writes down what is to come.
        chance: where its choices come from.
    """

    def __init__(self, roots: dict[str, Path], journal: Path, notes: int, chance: random.Random) -> None:
        self._workspaces, self._chance, self._notes = Workspaces(roots), chance, notes
        self._journal = open_journal(journal)
        self._engine = EditEngine(self._workspaces, self._journal)
        self._roots, self._trees = roots, Trees.read(roots)
        self._projects = list(roots)
        self._last: tuple[str, Trees] | None = None

    def run(self) -> None:
        """Edit until killed."""
        self._note("done", self._trees)
        while True:
            try:
                wanted, plan, preview = self._choose()
                self._note("begun", wanted, _told(plan))
                outcome = self._engine.apply(plan, preview=preview)
                self._engine.wait_until_tidy()
            except ToolError as error:
                self._note("refused", self._trees, f"{error.code}: {error.message}")
                self._last = None
                continue
            self._note("done", wanted)
            found = Trees.read(self._roots)
            if found != wanted:
                self._note(
                    "wrong", found, f"{_told(plan)}: {sorted(set(found.digests.items()) ^ set(wanted.digests.items()))}"
                )
                wanted = found
            self._last = None if outcome.edit is None else (outcome.edit, self._trees)
            self._trees = wanted

    def _note(self, kind: str, trees: Trees, message: str = "") -> None:
        os.write(self._notes, json.dumps([kind, trees.digests, message]).encode() + b"\n")

    def _choose(self) -> tuple[Trees, Any, bool]:
        """Give the trees that are to come, the plan that leads there, and whether it is only a preview."""
        if self._last is not None and self._chance.random() < 0.2:
            edit, before = self._last
            entry = self._journal.get(edit)
            if entry is not None:
                return before, undo_plan(self._journal, entry, Images(self._workspaces, 1 << 22), "child"), False
        wanted, draft = self._trees.copy(), Draft(self._workspaces)
        for _ in range(self._chance.choice((1, 1, 2, 3, 5, 9))):
            wanted, draft = self._step(wanted, draft)
        preview = self._chance.random() < 0.1
        return self._trees if preview else wanted, draft.plan("crash_rounds", "child"), preview

    def _step(self, trees: Trees, draft: Draft) -> tuple[Trees, Draft]:
        name, *arguments = self._operation(trees)
        options = {"delete": {"recursive": True}, "move": {"overwrite": True}}.get(name, {})
        wanted = trees.copy()
        try:
            getattr(wanted, name)(*arguments, **options)
        except Impossible:
            return trees, draft
        paths = [WorkspacePath(part[0], part[1:]) if isinstance(part, tuple) else part for part in arguments]
        getattr(draft, name)(*paths, **options)
        return wanted, draft

    def _operation(self, trees: Trees) -> tuple[Any, ...]:
        name = self._chance.choice(("write", "write", "write", "make_directory", "delete", "move", "move"))
        there = [path for path in trees.things if len(path) > 1]
        if len(there) > 40:
            name = "delete"
        if name == "write":
            content = self._chance.randbytes(self._chance.choice((0, 3, 300, 9000)))
            old = self._chance.choice(there) if there and self._chance.random() < 0.5 else self._new_path()
            return name, old, content
        if name == "make_directory" or not there:
            return "make_directory", self._new_path()
        if name == "move":
            return name, self._chance.choice(there), self._new_path()
        return name, self._chance.choice(there)

    def _new_path(self) -> Path_:
        names = tuple(self._chance.choice("abcd") for _ in range(self._chance.choice((1, 2, 2, 3))))
        return (self._chance.choice(self._projects), *names)


def _told(plan: Plan) -> str:
    verb = "undoes" if plan.undoes else "does"
    return f"{verb} {', '.join(f'{change.source} -> {change.target}' for change in plan.changes)}"


def open_journal(directory: Path) -> Journal:
    """Open the journal as a hub does at its start."""
    return Journal(directory, _MAX_JOURNAL_BYTES, 1e9)


# The parent -----------------------------------------------------------------------------------------------------------


def one_round(roots: dict[str, Path], scratch: Path, chance: random.Random) -> Counter[str]:
    """Start a child, kill it, recover, and count what came out."""
    journal, notes = scratch / "journal", scratch / "notes"
    notes.unlink(missing_ok=True)
    fd = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seed, delay = chance.getrandbits(64), chance.uniform(0, 0.03)
    child = os.fork()
    if child == 0:
        try:
            Editor(roots, journal, fd, random.Random(seed)).run()
        finally:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            os._exit(1)
    os.close(fd)
    while not notes.stat().st_size and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    counts = Counter(edits_applied=0, died=not os.WIFSIGNALED(os.waitpid(child, 0)[1]))
    opened = open_journal(journal)
    counts["kills_in_an_edit"] += any(entry.state in ("staging", "edit") for entry in opened.entries())
    ends = recover(Workspaces(roots), opened)
    counts.update(f"recovered_{end}" for end in ends.values())
    counts.update(compare(roots, list(_notes(notes))))
    return counts


def _notes(notes: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    for line in notes.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):  # the kill may have cut the last
            kind, digests, message = json.loads(line)
            yield kind, digests, message


def compare(roots: dict[str, Path], notes: list[tuple[str, dict[str, str], str]]) -> Counter[str]:
    """Compare what is there with what was written down; what the edits left behind is removed."""
    counts: Counter[str] = Counter()
    for kind, _, message in notes:
        counts["edits_applied"] += kind == "done"
        counts["refused"] += kind == "refused"
        counts["wrong"] += kind == "wrong"
        if kind in ("refused", "wrong"):
            logging.warning("%s: %s", kind, message)
    counts["edits_applied"] -= 1  # the first note is of what was there at the start
    is_open = notes[-1][0] == "begun"  # then it may be as before or as after, or else only as it was told to be
    allowed = [digests for _, digests, _ in notes[-2 if is_open else -1 :]]
    for root in roots.values():
        for place in list(root.rglob(_TEMPORARY + "*")):
            counts["stray_temporaries"] += 1
            logging.warning("left behind: %s", place)
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
    found = Trees.read(roots).digests
    if found not in allowed:
        counts["half_applied"] += 1
        sure = set.intersection(*({*digests.values()} for digests in allowed))  # wherever it is by now
        counts["lost_files"] += len(sure - {*found.values()})
        for kind, digests, message in notes[-8:]:
            missing, added = set(digests.items()) - set(found.items()), set(found.items()) - set(digests.items())
            logging.warning("%s %s: missing %s, added %s", kind, message, sorted(missing), sorted(added))
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Run rounds, and print one line of JSON; 1 if anything was lost or left behind, 0 if not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument(
        "--seed", type=int, default=None, help="repeats the choices, though not the instants of the kills"
    )
    parser.add_argument(
        "--root", type=Path, nargs="+", required=True, help="project directories; a new one in each is used"
    )
    parser.add_argument("--journal", type=Path, required=True, help="directory for a journal; a new one in it is used")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    own = f"crash-rounds-{os.getpid()}"
    roots = {f"p{number}": root / own for number, root in enumerate(options.root)}
    scratch = options.journal / own
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("codebuddy").setLevel(logging.ERROR)  # that an edit was left unfinished is what is wanted here
    counts = Counter(dict.fromkeys(("edits_applied", "kills_in_an_edit", "refused", *_LOSSES), 0))
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
    print(json.dumps({"rounds": options.rounds, "seed": seed, **counts}))
    return int(any(counts[loss] for loss in _LOSSES))


if __name__ == "__main__":
    sys.exit(main())
