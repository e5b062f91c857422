"""Compares the edit engine with a plain write, fsync and rename of the same files.

Runs in the hub's container, on a mounted project and with a journal beside the hub's:

    docker exec -i codebuddy-hub /opt/codebuddy/bin/python - /workspaces/project-a < tests/bench/edits.py

It works in a directory of its own, which it removes. It prints ratios, in which machine and disk cancel out.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from codebuddy.files.confinement import Workspaces
from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits.draft import Draft
from codebuddy.hub.edits.engine import EditEngine
from codebuddy.hub.edits.journal import Journal

JOURNAL = Path("/var/lib/codebuddy/journal")
SIZE = 4096
FILES = 200
ROUNDS = {1: 600, FILES: 15}
CONTENTS = [os.urandom(SIZE // 2).hex().encode() for _ in range(2)]


def plain(path: Path, content: bytes) -> None:
    """Write a file durably, without the engine."""
    temporary = path.with_name(f".{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(fd, content)
    os.fsync(fd)
    os.close(fd)
    os.rename(temporary, path)


def seconds(work: Callable[[bytes], None], content: bytes) -> float:
    """Time one call."""
    start = time.perf_counter()
    work(content)
    return time.perf_counter() - start


def compare(engine: EditEngine, root: Path, files: int) -> tuple[float, float]:
    """Return the medians of an edit of so many files, and of as many plain writes, measured in turn."""
    names = [f"file{number}.txt" for number in range(files)]
    for side in ("engine", "plain"):
        (root / side).mkdir(exist_ok=True)
        for name in names:
            plain(root / side / name, CONTENTS[1])

    def edit(content: bytes) -> None:
        draft = Draft(engine.workspaces)
        for name in names:
            draft.write(WorkspacePath("bench", ("engine", name)), content)
        engine.apply(draft.plan("bench", "bench"))

    def write(content: bytes) -> None:
        for name in names:
            plain(root / "plain" / name, content)

    times: list[tuple[float, float]] = []
    for number in range(ROUNDS[files]):
        content = CONTENTS[number % 2]
        times.append((seconds(edit, content), seconds(write, content)))
    engines, plains = zip(*times, strict=True)
    return statistics.median(engines), statistics.median(plains)


def main(project: str) -> None:
    """Print both ratios."""
    root = Path(tempfile.mkdtemp(prefix=".bench-", dir=project))
    journal = Path(tempfile.mkdtemp(prefix="bench-", dir=JOURNAL))
    try:
        engine = EditEngine(Workspaces({"bench": root}), Journal(journal, 64 * 1024**2, 3600))
        for files, most in ((1, 2.0), (FILES, 1.5)):
            ours, theirs = compare(engine, root, files)
            what = "one 4 KB file" if files == 1 else f"{files} files of 4 KB"
            print(
                f"{what}: engine {ours * 1e3:.2f} ms, plain durable writes {theirs * 1e3:.2f} ms, "
                f"ratio {ours / theirs:.2f} (at most {most} wanted)"
            )
        engine.close()
    finally:
        shutil.rmtree(root)
        shutil.rmtree(journal)


if __name__ == "__main__":
    main(sys.argv[1])
