"""A server may send any JSON: it is answered or ignored, and nothing fails."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codebuddy.agent.code.decoding import Reader, StaleLocation
from codebuddy.agent.code.places import read_symbols
from codebuddy.agent.lsp.config import ServerConfig
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.readiness import Readiness
from codebuddy.agent.lsp.transport import encode
from codebuddy.agent.lsp.tree import Tree

TEXT = st.text(max_size=5) | st.sampled_from(
    ["begin", "report", "end", "file:///", "file:///etc/passwd", "x/flycheck/0"]
)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
KEYS = [
    "uri", "version", "diagnostics", "token", "value", "kind", "title", "percentage", "items", "section", "quiescent",
    "health", "message", "range", "start", "end", "line", "character", "name", "children", "location", "selectionRange",
    "severity", "code", "source", "targetUri", "targetSelectionRange", "id", "error", "result",
]  # fmt: skip
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)
METHODS = st.sampled_from(
    [
        "$/progress",
        "experimental/serverStatus",
        "textDocument/publishDiagnostics",
        "workspace/configuration",
        "client/registerCapability",
        "workspace/applyEdit",
        "x",
    ]
)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"id": JSON, "method": METHODS | JSON, "params": JSON, "error": JSON, "result": JSON}
)
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@ANY
@given(st.lists(MESSAGES, max_size=6), st.sampled_from(["immediate", "progress", "server_status"]))
def test_any_messages_are_handled(root: Path, messages: list[dict[str, Any]], ready: Any) -> None:
    async def run() -> str:
        config = ServerConfig("x", ["x"], {"*": "x"}, ready)
        readiness, reader, writer = Readiness("x", ready), asyncio.StreamReader(), Mock()
        writer.transport.get_write_buffer_size.return_value = 0
        connection = Connection(config, Tree("p", root), readiness, reader, writer)
        readiness.initialized()
        reader.feed_data(b"".join(encode(message) for message in messages))
        reader.feed_eof()
        return await connection.run()

    assert asyncio.run(run()) == "the server closed its output"


DEEP = {
    "the id of a request": {"id": None, "method": "workspace/configuration"},
    "the reason of an error": {"id": 1, "error": {"code": 1, "message": None}},
    "the words of an error": {"id": 1, "error": None},
    "a title": {"method": "$/progress", "params": {"token": "t", "value": {"kind": "begin", "title": None}}},
    "a status": {"method": "experimental/serverStatus", "params": {"quiescent": False, "message": None}},
    "sections": {"id": 2, "method": "workspace/configuration", "params": {"items": None}},
    "a log": {"method": "window/logMessage", "params": {"type": 1, "message": None}},
}


@pytest.mark.parametrize("where", DEEP)
def test_deep_nesting_ends_only_the_session(where: str, root: Path) -> None:
    async def run(depth: int) -> str:
        body = json.dumps(DEEP[where]).replace("null", "[" * depth + "1" + "]" * depth)

        config = ServerConfig("x", ["x"], {"*": "x"}, "server_status")
        readiness, reader, writer = Readiness("x", "server_status"), asyncio.StreamReader(), AsyncMock()
        writer.write, writer.transport = Mock(), Mock()
        writer.transport.get_write_buffer_size.return_value = 0
        connection = Connection(config, Tree("p", root), readiness, reader, writer)
        readiness.initialized()
        asking = asyncio.create_task(connection.session.request("x", None, 10))
        await asyncio.sleep(0)
        reader.feed_data(b"Content-Length: %d\r\n\r\n%b" % (len(body), body.encode()))
        reader.feed_eof()
        reason = await connection.run()
        await asyncio.gather(asking, return_exceptions=True)
        return reason

    # At some of these depths JSON can be parsed but no longer printed or written.
    for depth in (100, *range(sys.getrecursionlimit() - 150, sys.getrecursionlimit())):
        reason = asyncio.run(run(depth))
        assert reason == "the server closed its output" or reason.startswith("what the server said")


@ANY
@given(JSON)
def test_any_answer_is_read_or_rejected(root: Path, answer: Any) -> None:
    reader = Reader(Tree("p", root), "utf-16", {})
    for read in (
        lambda: reader.locations(answer),
        lambda: reader.diagnostics(root.resolve() / "main.py", [answer]),
        lambda: read_symbols(answer, ["a", "b"], "utf-16"),
    ):
        try:
            read()
        except (ValueError, StaleLocation):
            continue
