"""Recordings of the journal and the projects as a version of the hub left them: how to make and replay them.

To record with the code that is checked out, with hub/src and tests/support on the path:
``python -m hub.tests.hub.edits.recording FILE``. Do so only when the journal gets a new format, into a new file: the
old one shows that the old format can still be read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import lzma
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codebuddy.hub.edits import disk

from .bench import MEMORY, PROJECTS, Bench, Thing, around_disk, die, survives
from .scenarios import APPLIED, Scenario

Json = dict[str, Any]
Around = Callable[[str, Callable[..., Any], tuple[Any, ...]], Any]

_COMMITTING = ("exchange", "rename", "overwrite", "change_mode")
_encode = json.JSONEncoder(separators=(",", ":")).encode


# Recording ------------------------------------------------------------------------------------------------------------


class _Killed:
    """Kills this process before or after one of the calls that commit."""

    def __init__(self, number: int, *, after: bool) -> None:
        self._left, self._after = number, after

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self._left -= name in _COMMITTING
        is_now = self._left == 0 and name in _COMMITTING
        if is_now and not self._after:
            die()
        result = call(*arguments)
        if is_now:
            die()
        return result


def _killed_when_staged(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Kills this process when everything is staged, before the record that the commit begins."""
    if name == "append" and b'"kind":"begun"' in arguments[1]:
        die()
    return call(*arguments)


class _Refusing:
    """Refuses calls that commit from one of them on, as a broken disk does; so the edit cannot be reverted."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self._left -= name in _COMMITTING
        if self._left <= 0 and name in _COMMITTING:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call(*arguments)


class _PowerCut:
    """Kills this process when everything is applied, after undoing every rename that was not synced."""

    def __init__(self) -> None:
        self._takes_back: list[Callable[[], object]] = []

    def __call__(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if name == "append" and b'"kind":"applied"' in arguments[1]:
            call(*arguments)
            for take_back in reversed(self._takes_back):
                take_back()
            die()
        if name == "exchange":
            directory, one, other = os.dup(arguments[0]), *arguments[1:]
            self._takes_back.append(lambda: disk._exchange(directory, one, directory, other))
        elif name == "rename":
            source, old, target, new = os.dup(arguments[0]), arguments[1], os.dup(arguments[2]), arguments[3]
            self._takes_back.append(lambda: os.rename(new, old, src_dir_fd=target, dst_dir_fd=source))
        return call(*arguments)


def _count(scenario: Scenario, base: Path) -> int:
    bench, counted = Bench(base), []

    def around(name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        counted.extend([name] if name in _COMMITTING else [])
        return call(*arguments)

    planted = scenario.plant(bench)
    with around_disk(around):
        scenario.work(bench, planted)
    bench.close()
    return len(counted)


def _record(scenario: Scenario, how: str, around: Around | None, base: Path) -> Json:
    bench = Bench(base)
    planted = scenario.plant(bench)
    bench.close()

    def work() -> None:
        bench.open()
        with around_disk(around or (lambda _, call, arguments: call(*arguments))):
            try:
                scenario.work(bench, planted)
            except Exception as error:
                print(f"{scenario.name}, {how}: {error}")
            bench.close()

    survives(work)
    recording: Json = {"scenario": scenario.name, "how": how, "records": _records(bench.journal_directory)}
    recording |= {"tree": _tree(bench.base), "inodes": _inodes(bench.base)}
    # With another boot id, so that recovery acts here as it will on any other machine.
    _write_journal(bench.journal_directory, recording["records"])
    ends = bench.recover()
    recording |= {"ends": list(ends.values()), "recovered": plain(bench.tree())}
    for entry in bench.standing()[::-1]:
        bench.undo(entry.id)
    recording["undone"] = plain(bench.tree())
    bench.close()
    return recording


def _records(directory: Path) -> list[list[Any]]:
    [segment] = directory.glob("*.journal")
    records = []
    with segment.open("rb") as file:
        while line := file.readline():
            header = json.loads(line)
            document, content = file.read(header["document"]), file.read(header["content"])
            assert file.read(1) == b"\n"
            if "boot" in header["about"]:
                header["about"]["boot"] = "another"
            records.append([header, json.loads(document) if document else None, content.decode("ascii")])
    return records


def _tree(base: Path) -> Json:
    tree: Json = {}
    first: dict[int, str] = {}
    for path in sorted(path for project in PROJECTS for path in (base / project).rglob("*")):
        name, status = str(path.relative_to(base)), path.lstat()
        tree[name] = thing = {"mode": status.st_mode, "mtime": status.st_mtime_ns}
        if stat.S_ISLNK(status.st_mode):
            thing["target"] = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            other = first.setdefault(status.st_ino, name)
            thing |= {"link": other} if other != name else {"content": path.read_text()}
    return tree


def _inodes(base: Path) -> Json:
    paths = sorted(path for project in PROJECTS for path in (base / project, *(base / project).rglob("*")))
    return {str(path.relative_to(base)): path.lstat().st_ino for path in paths}


def plain(tree: dict[str, Thing]) -> Json:
    return {
        name: [thing.kind, thing.mode, thing.content.decode("ascii"), list(thing.names)] for name, thing in tree.items()
    }


def main(target: Path) -> None:
    recordings = []
    with tempfile.TemporaryDirectory(prefix="codebuddy-edits-", dir=MEMORY) as directory:
        bases = (Path(directory) / str(number) for number in range(10_000))
        for scenario in APPLIED:
            total = _count(scenario, next(bases))
            hows: dict[str, Around | None] = {
                "complete": None,
                "killed before the commit": _Killed(1, after=False),
                "killed in the middle of the commit": _Killed((total + 1) // 2, after=True),
                "power cut after the commit": _PowerCut(),
            }
            if total > 1:
                hows |= {"killed when staged": _killed_when_staged, "the disk refused": _Refusing(total // 2 + 1)}
            recordings += [_record(scenario, how, around, next(bases)) for how, around in hows.items()]
    target.write_bytes(lzma.compress(_encode(recordings).encode(), preset=9))


# Laying out -----------------------------------------------------------------------------------------------------------


def read(source: Path) -> list[Json]:
    """Read the recordings in a file."""
    recordings: list[Json] = json.loads(lzma.decompress(source.read_bytes()))
    return recordings


def lay_out(recording: Json, bench: Bench) -> None:
    """Create the projects and the journal as they were recorded, with the new inodes of the files in the journal."""
    bench.close()
    for name, thing in recording["tree"].items():
        _make(bench.base, name, thing)
    for name, thing in reversed(recording["tree"].items()):
        path = bench.base / name
        if not stat.S_ISLNK(thing["mode"]):
            path.chmod(stat.S_IMODE(thing["mode"]))
        os.utime(path, ns=(thing["mtime"], thing["mtime"]), follow_symlinks=False)
    inodes = {inode: (bench.base / name).lstat().st_ino for name, inode in recording["inodes"].items()}
    for _, document, _ in recording["records"]:
        for step in document.get("steps", []) if isinstance(document, dict) else []:
            _renumber(step, inodes)
    for segment in bench.journal_directory.glob("*.journal"):
        segment.unlink()
    _write_journal(bench.journal_directory, recording["records"])


def _make(base: Path, name: str, thing: Json) -> None:
    path = base / name
    if stat.S_ISDIR(thing["mode"]):
        path.mkdir()
    elif stat.S_ISLNK(thing["mode"]):
        path.symlink_to(thing["target"])
    elif "link" in thing:
        os.link(base / thing["link"], path)
    else:
        path.write_text(thing["content"])


def _renumber(step: Json, inodes: dict[int, int]) -> None:
    for key in ("inode_of", "inode"):
        if key in step:
            step[key] = inodes.get(step[key], 0)
    if "target" in step:
        _renumber(step["target"], inodes)
    if "identity" in step:
        step["identity"] = [inodes.get(step["identity"][0], 0), step["identity"][1], os.getuid(), os.getgid()]
    for _, mark in step.get("marks", []):
        mark[1:2] = [inodes.get(inode, 0) for inode in mark[1:2]]


def _write_journal(directory: Path, records: list[list[Any]]) -> None:
    parts = []
    for header, document, content in records:
        raw = b"" if document is None else _encode(document).encode()
        checksums = [hashlib.sha256(part).hexdigest() for part in (raw, content.encode("ascii"))]
        sizes = {"document": len(raw), "content": len(content), "sha256": checksums}
        parts.append(_encode(header | sizes).encode() + b"\n" + raw + content.encode("ascii") + b"\n")
    (directory / "00000001.journal").write_bytes(b"".join(parts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
