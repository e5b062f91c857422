"""`codebuddy call`: what a refusal quotes stays in the line of the terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from codebuddy import client

pytestmark = pytest.mark.anyio


async def test_a_refusal_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        error = {"code": -32600, "message": "no\nok: [forged]\r\x1b[2J\u202e" + "y" * 10_000}
        writer.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode() + b"\n")
        await writer.drain()
        writer.close()

    monkeypatch.delenv("PROJECT_ID", raising=False)
    monkeypatch.setattr(client, "HUB_SOCKET", str(tmp_path / "socket"))
    async with await asyncio.start_unix_server(refuse, tmp_path / "socket"):
        assert await client.call("read_file", "{}") == 2
    said = capsys.readouterr().err.removesuffix("\n")
    assert said.startswith("codebuddy call: no")
    assert said.isprintable()
    assert len(said) < 3000
