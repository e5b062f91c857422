"""Texts are formatted before they are written, in one edit; a formatter that fails stops no write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from codebuddy.files.text import content_hash
from codebuddy.hub.edits import editor as formatting
from codebuddy.schemas.code import FormattedText, Reason
from codebuddy.tool import ToolError
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(client: ToolClient) -> ToolClient:
    client.answer_format = squeeze
    return client


async def squeeze(_path: str, content: str) -> FormattedText:
    """A formatter that replaces several spaces by one."""
    new = " ".join(part for part in content.split(" ") if part)
    return FormattedText(complete=True, served=True, server="s", content=None if new == content else new)


def lacking(reason: Reason, message: str) -> FormattedText:
    return FormattedText(complete=False, reason=reason, message=message, served=True)


async def test_the_formatted_text_is_what_is_written_shown_and_undone(p: Path, client: ToolClient) -> None:
    (p / "a").write_bytes(b"old  text\r\n")
    answer = await client("write_file", path="p/a", content="new   text\n")
    assert (p / "a").read_bytes() == b"new text\r\n"
    assert answer["hash"] == content_hash(b"new text\r\n")
    assert "+new text" in answer["diff"]
    assert "formatting" not in answer
    await client("undo_edit", edit_id=answer["edit_id"])
    assert (p / "a").read_bytes() == b"old  text\r\n"


async def test_a_new_file_is_shown_when_it_is_not_as_it_was_sent(p: Path, client: ToolClient) -> None:
    sent = await client.text("write_file", path="p/a", content="one two\n")
    assert "formatted" not in sent
    assert "+one two" not in sent
    changed = await client.text("write_file", path="p/b", content="one   two\n")
    assert "formatted: true" in changed
    assert "+one two" in changed


@pytest.mark.parametrize("data", ["\ufeffa  b 😀\r\n".encode(), "a  b 漢\n".encode("utf-16"), b"a  b"])
async def test_encoding_byte_order_mark_and_line_ends_are_kept(p: Path, client: ToolClient, data: bytes) -> None:
    (p / "a").write_bytes(data)
    await client("edit_file", path="p/a", edits=[{"old_text": "a", "new_text": "A"}])
    mark, codec = (b"\xff\xfe", "utf-16-le") if data.startswith(b"\xff\xfe") else (b"", "utf-8")
    text = data.removeprefix(mark).decode(codec).replace("a  b", "A b")
    assert (p / "a").read_bytes() == mark + text.encode(codec)


async def test_a_preview_shows_the_formatted_text_and_writes_nothing(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("old\n")
    before = snapshot(p)
    answer = await client("write_file", path="p/a", content="x   y\n", preview=True)
    assert "+x y\n" in answer["diff"]
    assert answer["hash"] == content_hash(b"x y\n")
    assert snapshot(p) == before


async def test_a_write_that_formatting_undoes_changes_nothing(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("x y\n")
    answer = await client("write_file", path="p/a", content="x    y\n")
    assert (answer["diff"], answer["hash"]) == ("", content_hash(b"x y\n"))
    assert "edit_id" not in answer


async def test_new_texts_are_formatted_and_moved_or_deleted_files_are_not(p: Path, client: ToolClient) -> None:
    for name in ("edited", "moved", "gone", "carried"):
        (p / name).write_text(f"{name}  it\n")
    await client(
        "apply_workspace_edit",
        changes=[
            {"path": "p/new", "content": "n  n\n"},
            {
                "path": "p/edited",
                "edits": [{"line": 1, "column": 1, "end_line": 1, "end_column": 1, "new_text": "! "}],
            },
            {"path": "p/moved", "move_to": "p/there"},
            {"path": "p/carried", "move_to": "q/carried"},
            {"path": "p/gone", "delete": True},
        ],
    )
    assert {str(path): content for path, (_, content) in snapshot(p.parent).items() if content} == {
        "p/new": b"n n\n",
        "p/edited": b"! edited it\n",
        "p/there": b"moved  it\n",
        "q/carried": b"carried  it\n",
    }


async def test_an_undo_and_a_move_are_not_formatted(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("a  a\n")
    answer = await client("delete_path", path="p/a")
    await client("undo_edit", edit_id=answer["edit_id"])
    await client("move_path", source="p/a", target="p/b")
    assert (p / "b").read_text() == "a  a\n"


async def refuse(_path: str, _content: str) -> FormattedText:
    raise ToolError("spoke_offline", "The spoke of p is not connected.")


async def crash(_path: str, _content: str) -> FormattedText:
    raise RuntimeError("a fault")


async def fail(_path: str, _content: str) -> FormattedText:
    return lacking("server_error", "The language server answered: line 1 cannot be parsed.")


async def empty(_path: str, _content: str) -> FormattedText:
    return FormattedText(complete=True, served=True, content="\n")


async def huge(_path: str, _content: str) -> FormattedText:
    return FormattedText(complete=True, served=True, content="x" * 5_000_000)


async def poison(_path: str, _content: str) -> FormattedText:
    return FormattedText(complete=True, served=True, content="a\0b")


@pytest.mark.parametrize(
    ("formatter", "told"),
    [
        (refuse, "not connected"),
        (crash, "inside the hub"),
        (fail, "cannot be parsed"),
        (empty, "leave nothing"),
        (huge, "more than"),
        (poison, "NUL"),
    ],
)
async def test_a_formatter_that_fails_is_reported_and_the_text_is_written(
    p: Path, client: ToolClient, formatter: Any, told: str
) -> None:
    client.answer_format = formatter
    answer = await client("write_file", path="p/a", content="x  y\n")
    assert (p / "a").read_text() == "x  y\n"
    assert answer["hash"] == content_hash(b"x  y\n")
    assert told in answer["formatting"]
    assert "p/a" in answer["formatting"]
    assert told in await client.text("write_file", path="p/b", content="x  y\n")
    many = await client("apply_workspace_edit", changes=[{"path": "p/c", "content": "x  y\n"}])
    assert told in many["formatting"]
    assert told in await client.text("apply_workspace_edit", changes=[{"path": "p/d", "content": "x  y\n"}])


async def test_a_formatter_that_hangs_times_out(p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(path: str, content: str) -> FormattedText:
        if path == "p/slow":
            await anyio.sleep_forever()
        return await squeeze(path, content)

    client.answer_format = hang
    monkeypatch.setattr(formatting, "FORMAT_SECONDS", 0.05)
    monkeypatch.setattr(formatting, "_ANSWER_SECONDS", 0.0)
    changes = [{"path": f"p/{name}", "content": "x  y\n"} for name in ("slow", "quick")]
    answer = await client("apply_workspace_edit", changes=changes)
    assert ((p / "slow").read_text(), (p / "quick").read_text()) == ("x  y\n", "x y\n")
    assert "p/slow" in answer["formatting"]
    assert "p/quick" not in answer["formatting"]


async def test_formatting_all_files_has_a_time_limit_too(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_path: str, _content: str) -> FormattedText:
        await anyio.sleep_forever()
        raise AssertionError

    client.answer_format = hang
    monkeypatch.setattr(formatting, "ALL_SECONDS", 0.05)
    changes = [{"path": f"p/{number}", "content": "x  y\n"} for number in range(30)]
    answer = await client("apply_workspace_edit", changes=changes)
    assert len(snapshot(p)) == 30
    assert "25 more" in answer["formatting"]


async def test_a_file_that_no_server_formats_is_written_without_a_message(p: Path, client: ToolClient) -> None:
    client.answer_format = None
    answer = await client("write_file", path="p/a.txt", content="x  y\n")
    assert "formatting" not in answer
    assert (p / "a.txt").read_text() == "x  y\n"


async def test_after_a_change_meanwhile_the_edit_is_planned_and_formatted_again(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("one\n")
    asked: list[str] = []

    async def disturbed(path: str, content: str) -> FormattedText:
        asked.append(content)
        if len(asked) == 1:
            (p / "a").write_text("one  and\n")
        return await squeeze(path, content)

    client.answer_format = disturbed
    await client("edit_file", path="p/a", edits=[{"old_text": "one", "new_text": "two  two"}])
    assert (p / "a").read_text() == "two two and\n"
    assert asked == ["two  two\n", "two  two  and\n"]


async def test_a_change_meanwhile_is_a_conflict_if_a_hash_was_expected(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("one\n")

    async def disturbed(path: str, content: str) -> FormattedText:
        (p / "a").write_text("theirs\n")
        return await squeeze(path, content)

    client.answer_format = disturbed
    error = await client.refused("write_file", path="p/a", content="x  y\n", expected_hash=content_hash(b"one\n"))
    assert error.code == "conflict"
    assert (p / "a").read_text() == "theirs\n"


async def test_cancelling_during_formatting_writes_nothing(p: Path, client: ToolClient) -> None:
    reached = anyio.Event()

    async def hang(_path: str, _content: str) -> FormattedText:
        reached.set()
        await anyio.sleep_forever()
        raise AssertionError

    client.answer_format = hang
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client("write_file", path="p/a", content="x"))
        await reached.wait()
        tasks.cancel_scope.cancel()
    assert snapshot(p) == {}


async def test_only_a_few_files_are_formatted_at_a_time(p: Path, client: ToolClient) -> None:
    now, most = 0, 0

    async def count(path: str, content: str) -> FormattedText:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.lowlevel.checkpoint()
        now -= 1
        return await squeeze(path, content)

    client.answer_format = count
    changes = [{"path": f"p/{number}", "content": "x  y\n"} for number in range(40)]
    await client("apply_workspace_edit", changes=changes)
    assert 1 < most <= 8
    assert {content for _, content in snapshot(p).values()} == {b"x y\n"}
