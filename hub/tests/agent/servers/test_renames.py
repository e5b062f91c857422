"""A rename by the real servers of a profile changes every use and nothing else, and leaves no errors."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from codebuddy.agent.code.rename import plan_rename
from codebuddy.files.text import content_hash
from codebuddy.schemas.code import PlannedRename, RenameArguments
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
Running = AbstractAsyncContextManager[Any]


async def report(message: str) -> None:
    return None


async def rename(here: Any, **given: Any) -> PlannedRename:
    arguments = RenameArguments(**{"new_name": "brand_new", "timeout_seconds": 120.0, **given})
    return await plan_rename(here.servers, arguments, report)


def places(planned: PlannedRename) -> list[tuple[str, int, int]]:
    """Return where the name is replaced; no edit may replace anything else."""
    assert (planned.complete, planned.reason, planned.message) == (True, None, None)
    edits = [(one.path, at) for one in planned.changes for at in one.edits or []]
    assert {at.new_text for _, at in edits} == {"brand_new"}
    return sorted((path, at.line, at.column) for path, at in edits)


def write(here: Any, planned: PlannedRename) -> None:
    """Write the changes, each to the bytes that it was computed for."""
    for change in planned.changes:
        path = here.root / change.path.removeprefix("p/")
        data = path.read_bytes()
        assert content_hash(data) == change.expected_hash
        mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
        text = data.removeprefix(mark).decode()
        starts = [0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", text))]
        for at in sorted(change.edits or [], key=lambda one: (one.line, one.column), reverse=True):
            start, end = starts[at.line - 1] + at.column - 1, starts[at.end_line - 1] + at.end_column - 1
            assert text[start:end] == here.sample.word
            text = text[:start] + at.new_text + text[end:]
        path.write_bytes(mark + text.encode())


@pytest.mark.parametrize("start", ["declaration", "use", "name"])
async def test_the_first_rename_reaches_every_use_and_its_declaration(start: str, project: Running) -> None:
    async with project as here:
        sample = here.sample
        line, column = here.place(sample.used_in, f"{sample.word}(")
        everywhere = [f"p/{path.relative_to(here.root)}" for path in sorted(here.root.rglob("*")) if path.is_file()]
        given = {
            "declaration": {"path": f"p/{sample.defined_in}", "symbol": sample.word},
            "use": {"path": f"p/{sample.used_in}", "line": line, "column": column},
            "name": {"name": sample.word, "paths": everywhere},
        }[start]
        planned = await rename(here, **given)
        assert places(planned) == here.uses()
        assert (planned.old_name, planned.symbol) == (sample.word, sample.word)
        defined_line, _ = here.place(sample.defined_in, sample.definition)
        assert [(at.path, at.line) for at in planned.declarations] == [(f"p/{sample.defined_in}", defined_line)]


async def test_a_renamed_project_has_no_errors(project: Running) -> None:
    async with project as here:
        planned = await rename(here, path=f"p/{here.sample.defined_in}", symbol=here.sample.word)
        write(here, planned)
        assert here.uses() == []
        await here.servers.files_changed([here.root / change.path[2:] for change in planned.changes])
        answer = await here.diagnostics(None)
        assert (answer.complete, [one for one in answer.diagnostics if one.severity == "error"]) == (True, [])


async def test_byte_order_marks_line_ends_and_wide_characters_are_kept(project: Running) -> None:
    async with project as here:
        path, text = here.sample.added
        file = here.root / path
        old = file.read_text() if file.exists() else ""
        file.write_text(old + text)
        uses = here.uses()
        data = b"\xef\xbb\xbf" + (old + text).replace("\n", "\r\n").encode()
        file.write_bytes(data)
        await here.servers.files_changed([file])
        planned = await rename(here, path=f"p/{here.sample.defined_in}", symbol=here.sample.word)
        assert places(planned) == uses
        write(here, planned)
        word = rf"(?<!\w){here.sample.word}(?!\w)".encode()
        assert file.read_bytes() == re.sub(word, b"brand_new", data)


async def test_a_rename_sees_changes_that_were_not_announced(project: Running) -> None:
    async with project as here:
        sample = here.sample
        await rename(here, path=f"p/{sample.defined_in}", symbol=sample.word)
        for name in (sample.defined_in, sample.used_in):
            (here.root / name).write_text("\n\n" + here.text(name))
        planned = await rename(here, path=f"p/{sample.defined_in}", symbol=sample.word)
        assert places(planned) == here.uses()
        write(here, planned)


async def test_an_impossible_rename_is_rejected(project: Running) -> None:
    async with project as here:
        for given in (
            {"path": f"p/{here.sample.defined_in}", "line": 1, "column": 1},
            {"path": f"p/{here.sample.defined_in}", "symbol": here.sample.word, "new_name": "1 bad"},
        ):
            with pytest.raises(ToolError) as refused:
                await rename(here, **given)
            assert refused.value.code == "cannot_rename"


async def test_an_unknown_name_gives_no_change(project: Running) -> None:
    async with project as here:
        planned = await rename(here, name="no_such_name", paths=[f"p/{here.sample.defined_in}"])
        assert (planned.complete, planned.changes, planned.declarations) == (True, [], [])
