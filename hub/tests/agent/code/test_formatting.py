"""Formatting: for the text that the server saw, no more than differs; and silence of a server is not "formatted"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.formatting import format_text, indentation, plan_format
from codebuddy.files.text import apply_range_edits, content_hash
from codebuddy.schemas.code import FormattedText, FormatTextArguments, PlanFormatArguments, PlannedChanges
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio

FORMAT = "textDocument/formatting"
CAN = {"documentFormattingProvider": True}
WHOLE = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}

BEHIND = {"start": {"line": 5, "character": 0}, "end": {"line": 6, "character": 0}}


async def plan(fake: Any, **given: Any) -> PlannedChanges:
    return await plan_format(fake.servers, PlanFormatArguments(**{"path": "p/shop.py", **given}), fake.report)


async def text(fake: Any, content: str, **given: Any) -> FormattedText:
    arguments = FormatTextArguments(**{"path": "p/shop.py", "content": content, "timeout_seconds": 10.0, **given})
    return await format_text(fake.servers, arguments, fake.report)


def whole(new_text: str) -> dict[str, Any]:
    return {"range": WHOLE, "newText": new_text}


async def test_only_what_differs_is_changed_for_the_bytes_that_were_seen(start: Any, root: Path) -> None:
    data = "\ufeffa = '漢'\r\nb  =  '😀'\r\nc = 3".encode()
    (root / "shop.py").write_bytes(data)
    async with start({FORMAT: [[{"reply": [whole("a = '漢'\nb = '😀'\nc = 3")]}]]}, CAN) as fake:
        planned = await plan(fake)
    (change,) = planned.changes
    assert (change.path, change.expected_hash, planned.server) == ("p/shop.py", content_hash(data), "fake")
    assert change.edits is not None
    assert {edit.line for edit in change.edits} == {2}
    assert apply_range_edits(data.decode("utf-8-sig"), change.edits) == "a = '漢'\r\nb = '😀'\r\nc = 3"


async def test_the_options_are_those_of_the_file(start: Any, root: Path) -> None:
    (root / "shop.py").write_text("if a:\n  b\n")
    async with start({FORMAT: [[{"reply": [whole("x\n")]}]]}, CAN) as fake:
        await plan(fake)
        (asked,) = fake.sent(FORMAT)
    assert asked["params"]["options"] == {"tabSize": 2, "insertSpaces": True, "trimTrailingWhitespace": True}


@pytest.mark.parametrize(
    ("content", "size", "spaces"),
    [
        ("", 4, True),
        ("a\n", 4, True),
        ("a\n\tb\n\t\tc\n", 4, False),
        ("a\n  b\n    c\n", 2, True),
        ("a\n    b\n        c\n", 4, True),
        ("a\n        b\n", 8, True),
        ("a\n\tb\n/*\n * x\n * y\n */\n", 4, False),
    ],
)
async def test_how_a_text_is_indented(content: str, size: int, spaces: bool) -> None:
    assert indentation(content.split("\n")) == {"tabSize": size, "insertSpaces": spaces}


@pytest.mark.parametrize("nothing", [None, []])
async def test_a_server_that_would_change_disorder_finds_the_file_formatted(start: Any, nothing: Any) -> None:
    async with start({FORMAT: [[{"reply": nothing}], [{"reply": [whole("x\n")]}]]}, CAN) as fake:
        planned = await plan(fake)
        assert (planned.complete, planned.changes) == (True, [])
        await fake.until(lambda: len(fake.sent("textDocument/didChange")) == 2)
        shown = [one["params"]["contentChanges"][0]["text"] for one in fake.sent("textDocument/didChange")]
        assert shown[-1] == "def open_shop():\n    return 1\n"  # what is on the disk, again


async def test_a_server_that_changes_not_even_disorder_has_not_formatted(start: Any) -> None:
    async with start({FORMAT: [[{"reply": None}]]}, CAN) as fake:
        planned = await plan(fake)
        assert (planned.complete, planned.reason) == (False, "server_error")
        assert "syntax error" in (planned.message or "")
        formatted = await text(fake, "x = (\n")
        assert (formatted.complete, formatted.served, formatted.content) == (False, True, None)


async def test_a_server_that_is_still_loading_formats(start: Any) -> None:
    begin = {"notify": ["$/progress", {"token": "t", "value": {"kind": "begin", "title": "Indexing"}}]}
    on = {"initialized": [[begin]], FORMAT: [[{"reply": None}], [{"reply": [whole("x\n")]}]]}
    async with start(on, CAN, ready="progress") as fake:
        await fake.until(lambda: fake.servers.states()[0]["state"] == "indexing")
        planned = await plan(fake)
        assert (planned.complete, planned.changes) == (True, [])


async def test_a_file_that_changes_meanwhile_is_formatted_anew(start: Any, root: Path) -> None:
    first = [{"file": [str(root / "shop.py"), "new  = 1\n"]}, {"reply": [whole("old = 1\n")]}]
    async with start({FORMAT: [first, [{"reply": [whole("new = 1\n")]}]]}, CAN) as fake:
        planned = await plan(fake)
        assert planned.changes[0].expected_hash == content_hash(b"new  = 1\n")
        assert apply_range_edits("new  = 1\n", planned.changes[0].edits or []) == "new = 1\n"


async def test_a_text_is_formatted_without_being_written(start: Any, root: Path) -> None:
    before = (root / "shop.py").read_bytes()
    async with start({FORMAT: [[{"reply": [whole("x = 1\n")]}]]}, CAN) as fake:
        for path in ("p/shop.py", "p/new/file.py"):
            formatted = await text(fake, "x  =  1\r\n", path=path)
            assert (formatted.complete, formatted.content, formatted.server) == (True, "x = 1\r\n", "fake")
        assert (root / "shop.py").read_bytes() == before
        assert not (root / "new").exists()
        assert {"x  =  1\r\n"} <= {one["params"]["textDocument"]["text"] for one in fake.sent("textDocument/didOpen")}


@pytest.mark.parametrize(
    ("steps", "reason", "said"),
    [
        ([{"reply": "nonsense"}], "server_error", "malformed"),
        ([{"reply": [{"range": WHOLE}]}], "server_error", "malformed"),
        ([{"reply": {"changes": {}}}], "server_error", "malformed"),
        (
            [
                {
                    "reply": [
                        {
                            "range": {"start": {"line": 5, "character": 0}, "end": {"line": 6, "character": 0}},
                            "newText": "",
                        }
                    ]
                }
            ],
            "server_error",
            "behind the end",
        ),
        ([{"reply": [whole("a"), whole("b")]}], "server_error", "overlap"),
        ([{"error": [-32603, "it cannot be parsed"]}], "server_error", "cannot be parsed"),
        ([{"exit": 3}], "server_crashed", "went away"),
        ([], "timed_out", "no answer"),
    ],
)
async def test_what_a_broken_formatter_says_is_no_format(
    start: Any, steps: list[Any], reason: str, said: str, root: Path
) -> None:
    async with start({FORMAT: [steps or [{"notify": ["$/x", {}]}]]}, CAN) as fake:
        await fake.until(lambda: fake.servers.states()[0]["state"] == "ready")
        formatted = await text(fake, "x  = 1\n", timeout_seconds=10.0 if steps else 0.3)
        assert (formatted.complete, formatted.reason, formatted.content) == (False, reason, None)
        assert said in (formatted.message or "")
        if steps:
            planned = await plan(fake)
            assert (planned.complete, planned.changes) == (False, [])


async def test_a_file_that_nobody_formats_is_told_if_it_is_served_at_all(start: Any, root: Path) -> None:
    (root / "notes.txt").write_text("x\n")
    async with start({}, {}) as fake:
        unserved = await text(fake, "x", path="p/notes.txt")
        assert (unserved.complete, unserved.served, unserved.content) == (True, False, None)
        for path in ("p/notes.txt", "p/shop.py"):
            planned = await plan(fake, path=path)
            assert (planned.complete, planned.reason) == (False, "unsupported")
            assert "declare one that formats in language_servers" in (planned.message or "")
        announced = await text(fake, "x")
    async with start({}, CAN, features=["navigation"]) as fake:
        declared = await text(fake, "x")
    for formatted in (announced, declared):
        assert (formatted.complete, formatted.served, formatted.reason) == (False, True, "unsupported")
        assert "none of its language servers (fake) formats; declare one" in (formatted.message or "")


async def test_a_file_that_is_missing_or_no_utf8_is_refused(start: Any, root: Path) -> None:
    (root / "wide.py").write_bytes("x = 1\n".encode("utf-16"))
    async with start({}, CAN) as fake:
        with pytest.raises(ToolError) as error:
            await plan(fake, path="p/wide.py")
        assert error.value.code == "unsupported_encoding"
        with pytest.raises(ToolError) as error:
            await plan(fake, path="p/none.py")
        assert error.value.code == "not_found"
        with pytest.raises(ToolError) as error:
            await text(fake, "x", path="p/../../x.py")
        assert error.value.code in ("outside_project", "invalid_path")
