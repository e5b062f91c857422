"""Right answers at once after another branch was checked out that differs in 2,000 files; nobody waits in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
Running = AbstractAsyncContextManager[Any]

FILES = 1820
# python-lsp-server looks for a name in a few of the files only that have it.
EVERY = 182

WHERE = {".ts": "src/bulk", ".py": "src/service/bulk", ".rs": "src/bulk"}
USES = {
    ".ts": 'import {{ {word} }} from "../../utils.ts";\n{more}export const f{number} = {word};\n',
    ".py": "from service.processing import {word}\n\n{more}f{number} = {word}\n",
    ".rs": "{more}pub fn f{number}() {{ let _ = crate::{word}; }}\n",
}
PLAIN = {
    ".ts": "{more}export const f{number} = {number};\n",
    ".py": "{more}f{number} = {number}\n",
    ".rs": "{more}pub fn f{number}() {{}}\n",
}
MORE = {".ts": "// moved\n", ".py": "# moved\n", ".rs": "// moved\n"}


def branch(word: str, suffix: str, other: bool) -> dict[str, str]:
    """Give the files of a branch: of ten, the two branches have five different, two each alone, and one elsewhere."""
    files = {}
    for number in range(FILES):
        kind = number // EVERY % 10
        if (kind in (5, 6) and other) or (kind in (7, 8) and not other):
            continue
        form = (USES if number % EVERY == 0 else PLAIN)[suffix]
        more = MORE[suffix] if kind < 5 and other else ""
        place = "b" if kind == 9 and other else "a"
        files[f"{place}/f{number}{suffix}"] = form.format(word=word, number=number, more=more)
    if suffix == ".rs":
        for place in ("a", "b"):
            names = sorted(Path(path).stem for path in files if path.startswith(f"{place}/"))
            files[f"{place}/mod.rs"] = "".join(f"pub mod {name};\n" for name in names)
        files["mod.rs"] = "pub mod a;\npub mod b;\n"
    return files


def check_out(root: Path, old: dict[str, str], new: dict[str, str]) -> int:
    """Do as git does: take away what is not in the new branch, write anew what is different; give how many."""
    differing = [path for path in new if old.get(path) != new[path]]
    for path in [*(old.keys() - new.keys()), *(path for path in differing if path in old)]:
        (root / path).unlink()
    for path in differing:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(new[path])
    return len(old.keys() - new.keys()) + len(differing)


def branches(root: Path, sample: Any) -> Iterator[int]:
    """Check out one branch and the other, and so on; give the number of files that were different."""
    one, other = (branch(sample.word, sample.suffix, which) for which in (False, True))
    check_out(root, {}, one)
    while True:
        yield check_out(root, one, other)
        one, other = other, one


async def test_the_next_answer_is_for_the_branch_that_was_checked_out(project: Running) -> None:
    async with project as here:
        sample, bulk = here.sample, here.root / WHERE[here.sample.suffix]
        if sample.suffix == ".rs":
            library = here.root / "src/lib.rs"
            library.write_text("pub mod bulk;\n" + library.read_text())
        switched = branches(bulk, sample)
        next(switched)
        await here.references(sample.defined_in, symbol=sample.word)
        before: list[tuple[str, int, int]] = []
        for _ in range(4):
            changed = next(switched)
            began = time.monotonic()
            answer = await here.references(sample.defined_in, symbol=sample.word, limit=5000)
            print(f"{changed} files changed, answered after {time.monotonic() - began:.2f} s")
            assert changed >= 2000
            assert (answer.complete, answer.reason, answer.message) == (True, None, None)
            found = [(one.path, one.line, one.column) for one in answer.locations]
            assert found == here.uses() != before
            before = found
