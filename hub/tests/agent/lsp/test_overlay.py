"""A server can be given a text that is not on disk, and no request sees it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document
from codebuddy.agent.lsp.transport import RequestTimedOut, SessionClosed
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
DEFINITION = "textDocument/definition"
FORMATTING = "textDocument/formatting"
OPENED = "textDocument/didOpen"
CHANGED = "textDocument/didChange"
CLOSED = "textDocument/didClose"
RANGE = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 4}}


async def connected(fake: Any) -> Connection:
    await fake.definition()
    (server,) = fake.servers._servers
    assert server.connection is not None
    connection: Connection = server.connection
    return connection


def other_text(
    connection: Connection, root: Path, name: str = "main.py", seconds: float = 5.0
) -> AbstractAsyncContextManager[Document]:
    return connection.overlay(root / name, "other", seconds)


def shown(fake: Any, name: str = "main.py") -> list[tuple[str, Any]]:
    """Return the messages about a file: method, and text if there is one."""
    found = []
    for line in fake.log.read_text().splitlines():
        message = json.loads(line)["message"]
        document = (message.get("params") or {}).get("textDocument") or {}
        if document.get("uri", "").endswith(f"/{name}"):
            changes = message["params"].get("contentChanges", [{}])
            text = document.get("text", changes[0].get("text"))
            found.append((message["method"].removeprefix("textDocument/"), text))
    return found


def versions(fake: Any) -> list[int]:
    sent = fake.sent(OPENED) + fake.sent(CHANGED)
    return [one["params"]["textDocument"]["version"] for one in sent]


async def test_the_server_gets_the_text_and_then_that_of_the_disk_again(start: Any, root: Path) -> None:
    disk = (root / "main.py").read_text()
    async with start() as fake:
        connection = await connected(fake)
        async with other_text(connection, root) as document:
            await connection.session.request(FORMATTING, {"textDocument": {"uri": document.uri}}, 5.0)
        await fake.definition()
        seen = [(method, text) for method, text in shown(fake) if method != "definition"]
        assert seen == [("didOpen", disk), ("didChange", "other"), ("formatting", None), ("didChange", disk)]
        assert versions(fake) == sorted(set(versions(fake)))


async def test_a_file_that_does_not_exist_is_closed_afterwards(start: Any, root: Path) -> None:
    async with start() as fake:
        connection = await connected(fake)
        async with other_text(connection, root, "new.py") as document:
            assert document.lines == ["other"]
        await fake.definition()
        assert shown(fake, "new.py") == [("didOpen", "other"), ("didChange", ""), ("didClose", None)]
        assert root / "new.py" not in connection.documents.paths()
        (root / "new.py").write_text("text\n")
        assert connection.documents.sync(root / "new.py").text == "text\n"


async def test_a_request_waits_until_the_server_has_the_text_of_the_disk_again(start: Any, root: Path) -> None:
    async with start() as fake:
        connection = await connected(fake)
        asked = len(fake.sent(DEFINITION))
        async with other_text(connection, root):
            question = asyncio.create_task(fake.definition())
            for _ in range(3):  # each is a round trip: the request had time enough to be sent
                await connection.session.request(FORMATTING, {}, 5.0)
            assert len(fake.sent(DEFINITION)) == asked
        assert (await question).complete
        assert [method for method, _ in shown(fake)][-2:] == ["didChange", "definition"]


async def test_a_request_times_out_while_it_waits_for_the_overlay(start: Any, root: Path) -> None:
    async with start() as fake:
        connection = await connected(fake)
        async with other_text(connection, root):
            answer = await fake.definition(timeout_seconds=0.2)
        assert (answer.complete, answer.reason) == (False, "timed_out")
        assert (await fake.definition()).complete


async def test_an_overlay_waits_for_earlier_requests(start: Any, root: Path, tmp_path: Path) -> None:
    reply, answer_now = {"reply": None}, tmp_path / "answer_now"
    async with start({DEFINITION: [[reply], [{"wait": str(answer_now)}, reply], [reply]]}) as fake:
        connection = await connected(fake)
        request = asyncio.create_task(fake.definition(timeout_seconds=60.0))
        await fake.until(lambda: len(fake.sent(DEFINITION)) == 2)
        with pytest.raises(RequestTimedOut, match="earlier requests"):
            async with other_text(connection, root, seconds=0.05):
                pytest.fail("a request could have seen the text")
        assert not request.done()
        answer_now.touch()
        async with other_text(connection, root, seconds=60.0):
            assert request.done() or connection.read_write_lock._readers == 0
        assert (await request).complete


async def test_an_overlay_waits_for_a_request_until_that_times_out(start: Any, root: Path) -> None:
    async with start({DEFINITION: [[{"reply": None}], []]}) as fake:
        connection = await connected(fake)
        request = asyncio.create_task(fake.definition(timeout_seconds=0.5))
        await fake.until(lambda: len(fake.sent(DEFINITION)) == 2)
        async with other_text(connection, root, seconds=60.0):
            assert request.done() or connection.read_write_lock._readers == 0
        assert (await request).reason == "timed_out"


async def test_an_overlay_does_not_wait_for_a_wait_for_diagnostics(start: Any, root: Path) -> None:
    async with start() as fake:  # it publishes nothing at all
        connection = await connected(fake)
        request = asyncio.create_task(fake.diagnostics(path="p/shop.py", timeout_seconds=60.0))
        await fake.until(lambda: bool(shown(fake, "shop.py")))
        async with other_text(connection, root, seconds=50.0):
            assert not request.done()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        request = asyncio.create_task(fake.diagnostics(path="p/shop.py", timeout_seconds=0.5))
        async with other_text(connection, root, seconds=50.0):
            assert (await request).reason == "timed_out"


async def test_cancellation_and_errors_restore_the_text_of_the_disk(start: Any, root: Path) -> None:
    disk = (root / "main.py").read_text()
    async with start() as fake:
        connection = await connected(fake)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), other_text(connection, root):
                await asyncio.Event().wait()
        with pytest.raises(ZeroDivisionError):
            async with other_text(connection, root):
                raise ZeroDivisionError
        assert (await fake.definition()).complete
        texts = [text for method, text in shown(fake) if method == "didChange"]
        assert texts == ["other", disk, "other", disk]


async def test_a_change_on_disk_during_an_overlay_is_announced_afterwards(start: Any, root: Path) -> None:
    async with start() as fake:
        connection = await connected(fake)
        async with other_text(connection, root):
            (root / "main.py").write_text("written\nmeanwhile\n")
            await fake.servers.files_changed([root / "main.py"])
            await connection.session.request(FORMATTING, {}, 5.0)
            assert shown(fake)[-1] == ("didChange", "other")
        await fake.definition()
        assert shown(fake)[-2] == ("didChange", "written\nmeanwhile\n")


async def test_the_successor_of_a_server_that_dies_gets_the_text_of_the_disk(start: Any, root: Path) -> None:
    disk = (root / "main.py").read_text()
    async with start({FORMATTING: [[{"exit": 3}]]}) as fake:
        connection = await connected(fake)
        with pytest.raises(SessionClosed):
            async with other_text(connection, root):
                await connection.session.request(FORMATTING, {}, 5.0)
        await fake.until(lambda: len(fake.processes()) == 2)
        assert (await fake.definition()).complete
        assert [text for method, text in shown(fake) if method == "didOpen"] == [disk, disk]
        with pytest.raises(SessionClosed):
            async with other_text(connection, root):
                pytest.fail("the server is gone")


async def test_a_file_that_is_not_served_or_not_readable_is_rejected(start: Any, root: Path) -> None:
    (root / "folder.py").mkdir()
    async with start() as fake:
        connection = await connected(fake)
        for name, error in (("x.txt", ValueError), ("folder.py", ToolError)):
            with pytest.raises(error):
                async with other_text(connection, root, name):
                    pytest.fail("this cannot be overlaid")
        assert (await fake.definition()).complete


def published(*messages: str, **more: Any) -> dict[str, Any]:
    found = [{"range": RANGE, "severity": 1, "message": message} for message in messages]
    return {"notify": ["textDocument/publishDiagnostics", {"uri": "@uri", "diagnostics": found, **more}]}


@pytest.mark.parametrize("more", [{"version": "@version"}, {}])
async def test_diagnostics_of_an_overlay_are_dropped(start: Any, root: Path, more: dict[str, Any]) -> None:
    on = {OPENED: [[published("disk", **more)]], CHANGED: [[published("overlaid", **more)], []]}
    async with start(on) as fake:
        connection = await connected(fake)
        assert [one.message for one in (await fake.diagnostics(path="p/main.py")).diagnostics] == ["disk"]
        async with other_text(connection, root):
            await connection.session.request(FORMATTING, {}, 5.0)
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["disk"])


async def test_late_diagnostics_of_an_overlay_are_dropped(start: Any, root: Path) -> None:
    on = {OPENED: [[published("disk", version=1)]], CHANGED: [[], [published("overlaid", version=2)]]}
    async with start(on) as fake:
        connection = await connected(fake)
        async with other_text(connection, root):
            pass
        await fake.definition()
        assert [one.message for one in (await fake.diagnostics(path="p/main.py")).diagnostics] == ["disk"]


async def test_a_wait_for_diagnostics_continues_after_an_overlay(start: Any, root: Path) -> None:
    on = {CHANGED: [[published("overlaid", version="@version")], [published("disk", version="@version")]]}
    async with start(on) as fake:
        connection = await connected(fake)
        question = asyncio.create_task(fake.diagnostics(path="p/main.py"))
        await fake.until(lambda: connection.read_write_lock._readers == 0 and bool(connection.documents.paths()))
        async with other_text(connection, root):
            await connection.session.request(FORMATTING, {}, 5.0)
        answer = await question
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["disk"])


async def test_diagnostics_of_a_compiler_are_kept_during_an_overlay(start: Any, root: Path) -> None:
    """A compiler reads the disk, whatever version the server adds to its diagnostics."""
    status = {"notify": ["experimental/serverStatus", {"quiescent": True, "health": "ok"}]}
    begin, end = (
        {"notify": ["$/progress", {"token": "x/flycheck/0", "value": {"kind": kind}}]} for kind in ("begin", "end")
    )
    nothing = [{"reply": {"kind": "full", "items": []}}]
    on = {
        "initialized": [[status, begin]],
        CHANGED: [[published("compiler", version="@version"), end], []],
        "textDocument/diagnostic": [nothing],
    }
    async with start(on, {"diagnosticProvider": {}}, ready="server_status") as fake:
        connection = await connected(fake)
        async with other_text(connection, root):
            await connection.session.request(FORMATTING, {}, 5.0)
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["compiler"])
