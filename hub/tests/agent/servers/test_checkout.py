"""The first answer is right after the checkout of a branch that differs in 2,000 files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from codebuddy_testing.branch_files import BranchFiles

pytestmark = pytest.mark.anyio
Running = AbstractAsyncContextManager[Any]

BULKS = {
    ".ts": BranchFiles(
        "src/bulk",
        ".ts",
        'import {{ processData }} from "../../utils.ts";\nexport const f{number} = processData;\n',
        "export const f{number} = {number};\n",
        "// moved\n",
    ),
    ".py": BranchFiles(
        "src/service/bulk",
        ".py",
        "from service.processing import process_data\n\nf{number} = process_data\n",
        "f{number} = {number}\n",
        "# moved\n",
    ),
    ".rs": BranchFiles(
        "src/bulk",
        ".rs",
        "pub fn f{number}() {{ let _ = crate::process_data; }}\n",
        "pub fn f{number}() {{}}\n",
        "// moved\n",
    ),
}


def check_out(root: Path, old: dict[str, str], new: dict[str, str]) -> int:
    """Delete and rewrite files as git does; give how many differed."""
    different = [path for path in new if old.get(path) != new[path]]
    for path in [*(old.keys() - new.keys()), *(path for path in different if path in old)]:
        (root / path).unlink()
    for path in different:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(new[path])
    return len(old.keys() - new.keys()) + len(different)


def branches(root: Path, bulk: BranchFiles) -> Iterator[int]:
    """Check out two branches in turn; give the number of files that differed."""
    one, other = bulk.branch(other=False), bulk.branch(other=True)
    check_out(root, {}, one)
    while True:
        yield check_out(root, one, other)
        one, other = other, one


async def test_the_next_answer_is_for_the_branch_that_was_checked_out(project: Running) -> None:
    async with project as here:
        sample = here.sample
        if sample.suffix == ".rs":
            library = here.root / "src/lib.rs"
            library.write_text("pub mod bulk;\n" + library.read_text())
        switched = branches(here.root, BULKS[sample.suffix])
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
