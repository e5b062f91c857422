"""A server may send any JSON whatever: it is answered or passed over, and nothing of ours ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codebuddy.code.places import read_symbols
from codebuddy.code.results import Reader, StaleLocation
from codebuddy.language.config import ServerConfig
from codebuddy.language.connection import Connection
from codebuddy.language.framing import encode
from codebuddy.language.readiness import Readiness
from codebuddy.language.tree import Tree

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
def test_any_messages_are_survived(root: Path, messages: list[dict[str, Any]], ready: Any) -> None:
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


@ANY
@given(JSON)
def test_any_answer_is_read_or_refused(root: Path, answer: Any) -> None:
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
