"""The code tools keep their promises with the real servers of a profile."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio
Running = AbstractAsyncContextManager[Any]


def places(answer: Any) -> list[tuple[str, int, int]]:
    assert (answer.complete, answer.reason, answer.message) == (True, None, None)
    return [(one.path, one.line, one.column) for one in answer.locations]


async def test_the_first_request_finds_the_definition_of_a_use(project: Running) -> None:
    async with project as here:
        sample = here.sample
        line, column = here.place(sample.used_in, f"{sample.word}(")
        began = time.monotonic()
        answer = await here.definition(sample.used_in, line=line, column=column)
        print(f"first definition after {time.monotonic() - began:.2f} s")
        defined_line, defined_column = here.place(sample.defined_in, sample.definition)
        defined_column += sample.definition.index(sample.word)
        assert places(answer) == [(f"p/{sample.defined_in}", defined_line, defined_column)]
        assert answer.locations[0].line_text == here.text(sample.defined_in).split("\n")[defined_line - 1]
        assert {state["state"] for state in here.servers.states() if state["state"] != "stopped"} == {"ready"}


@pytest.mark.parametrize("form", ["symbol", "text"])
async def test_the_first_references_include_macros_tests_and_the_declaration(form: str, project: Running) -> None:
    async with project as here:
        sample = here.sample
        line, _ = here.place(sample.defined_in, sample.definition)
        place = {"symbol": sample.word} if form == "symbol" else {"line": line, "text": sample.word}
        assert places(await here.references(sample.defined_in, **place)) == here.uses()


async def test_the_next_answer_includes_written_files_and_excludes_deleted_ones(project: Running) -> None:
    async with project as here:
        sample = here.sample
        path, text = sample.added
        before = here.uses()
        assert places(await here.references(sample.defined_in, symbol=sample.word)) == before
        file = here.root / path
        old = file.read_text() if file.exists() else None
        file.write_text((old or "") + text)
        await here.servers.files_changed([file])
        assert len(here.uses()) > len(before)
        assert places(await here.references(sample.defined_in, symbol=sample.word)) == here.uses()
        file.write_text(old) if old is not None else file.unlink()
        await here.servers.files_changed([file])
        assert places(await here.references(sample.defined_in, symbol=sample.word)) == before


async def test_the_next_answer_includes_edits_that_were_not_announced(project: Running) -> None:
    async with project as here:
        sample = here.sample
        line, column = here.place(sample.used_in, f"{sample.word}(")
        first = places(await here.definition(sample.used_in, line=line, column=column))
        for name in (sample.defined_in, sample.used_in):
            await here.definition(name, symbol=sample.word) if name == sample.defined_in else None
            (here.root / name).write_text("\n\n" + here.text(name))
        moved = places(await here.definition(sample.used_in, line=line + 2, column=column))
        assert moved == [(path, line + 2, column) for path, line, column in first]


async def test_diagnostics_are_those_of_the_text_on_disk(project: Running) -> None:
    async with project as here:
        sample = here.sample
        text, said = sample.broken
        good = here.text(sample.defined_in)
        answer = await here.diagnostics(sample.defined_in)
        assert (answer.complete, [one for one in answer.diagnostics if one.severity == "error"]) == (True, [])
        (here.root / sample.defined_in).write_text(good + text)
        answer = await here.diagnostics(sample.defined_in)
        assert answer.complete
        errors = [one for one in answer.diagnostics if said in one.message and one.severity == "error"]
        assert {one.line_text for one in errors} == {text.rstrip("\n")}  # every server that finds it reports it
        (here.root / sample.defined_in).write_text(good)
        answer = await here.diagnostics(None)
        assert (answer.complete, [one for one in answer.diagnostics if one.severity == "error"]) == (True, [])


async def test_a_killed_server_is_back_for_the_next_request(project: Running) -> None:
    async with project as here:
        sample = here.sample
        first = places(await here.references(sample.defined_in, symbol=sample.word))
        for pid in children(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        answer = await here.references(sample.defined_in, symbol=sample.word)
        if answer.reason == "server_crashed":  # the request came before its end was noticed
            answer = await here.references(sample.defined_in, symbol=sample.word)
        assert places(answer) == first


def children(parent: int) -> list[int]:
    """Return the direct children of a process."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(process.name))
        except FileNotFoundError:
            continue
    return found
