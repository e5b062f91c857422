"""A server that indexes late is asked only after it has read all changes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codebuddy.agent.code.asking import wait_until_indexed
from codebuddy.agent.lsp.transport import RequestTimedOut, SessionClosed

pytestmark = pytest.mark.anyio


class Asked:
    """Records the documents whose symbols were requested; raises ``error`` if it is set."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self.error: Exception | None = None

    async def __call__(self, _connection: Any, method: str, params: dict[str, Any]) -> None:
        assert method == "textDocument/documentSymbol"
        if self.error is not None:
            raise self.error
        self.uris.append(params["textDocument"]["uri"])


def connection(name: str | None, **versions: int) -> Any:
    copies = {Path(path): SimpleNamespace(uri=path, version=version) for path, version in versions.items()}
    return SimpleNamespace(
        server_name=name,
        capabilities=SimpleNamespace(covers=lambda method: True),
        documents=SimpleNamespace(copies=lambda: copies),
        read_versions={},
    )


async def test_every_version_of_a_document_is_waited_for_once() -> None:
    asked, late = Asked(), connection("clangd", one=1, other=2)
    await wait_until_indexed(late, asked)
    await wait_until_indexed(late, asked)
    assert sorted(asked.uris) == ["one", "other"]
    late.documents.copies()[Path("one")].version = 3
    del late.documents.copies()[Path("other")]
    await wait_until_indexed(late, asked)
    assert asked.uris[2:] == ["one"]
    assert late.read_versions == {Path("one"): 3}


async def test_other_servers_are_not_waited_for() -> None:
    asked = Asked()
    await wait_until_indexed(connection("gopls", one=1), asked)
    await wait_until_indexed(connection(None, one=1), asked)
    assert asked.uris == []


@pytest.mark.parametrize("error", [RequestTimedOut("no answer"), SessionClosed("gone")])
async def test_an_error_is_raised_and_the_request_repeated(error: Exception) -> None:
    asked, late = Asked(), connection("clangd", one=1, other=1)
    asked.error = error
    with pytest.raises(type(error)):
        await wait_until_indexed(late, asked)
    assert late.read_versions == {}
    asked.error = None
    await wait_until_indexed(late, asked)
    assert sorted(asked.uris) == ["one", "other"]
