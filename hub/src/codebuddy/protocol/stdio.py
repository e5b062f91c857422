"""MCP as lines of JSON: the hub's local socket, and ``codebuddy start``, which joins standard input and output to it.

``start`` runs inside the hub container, where whoever may start it is already trusted. It must reach the links that the
serving process holds, so it carries bytes to that process and knows nothing of MCP. It imports only the standard
library: a client that launches it waits for Python alone.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

from codebuddy.protocol.channel import ChannelClosed

__all__ = ["HUB_SOCKET", "LineChannel", "bridge_stdio"]

HUB_SOCKET = Path("/run/codebuddy/hub.sock")
"""The hub's local socket, in its container; only the hub's own user can open it."""


class LineChannel:
    """Text messages, one a line, on a pair of asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> str:
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError) as error:  # ValueError: a line over the stream's limit
            raise ChannelClosed from error
        if not line:
            raise ChannelClosed
        return line.decode("utf-8", errors="replace")

    async def send(self, text: str) -> None:
        try:
            self._writer.write(text.encode("utf-8") + b"\n")
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise ChannelClosed from error


async def bridge_stdio(socket_path: Path = HUB_SOCKET) -> int:
    """Carry lines between standard input and output and the hub's local socket until either side ends.

    Returns:
        The exit status: 0, or 1 with a sentence on standard error when the hub does not answer.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path)
    except OSError as error:
        print(f"codebuddy start: the hub does not answer on {socket_path} ({error.strerror}).", file=sys.stderr)
        return 1
    loop = asyncio.get_running_loop()
    input_ended = asyncio.Event()

    def copy_in() -> None:
        try:
            while chunk := os.read(0, 65536):
                asyncio.run_coroutine_threadsafe(_write(writer, chunk), loop).result()
        except OSError:
            pass  # the hub closed its end, or standard input is gone: either way this direction is over
        loop.call_soon_threadsafe(input_ended.set)

    # Standard input may be a file, on which asyncio cannot wait: hence a thread. A daemon, for a read that never
    # returns must not keep the process when the hub goes first.
    threading.Thread(target=copy_in, daemon=True).start()
    outward = asyncio.create_task(_copy_out(reader))
    inward = asyncio.create_task(input_ended.wait())
    await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
    if not outward.done():
        writer.write_eof()  # answers that are on their way still come out; the hub closes after them
        await outward
    return 0


async def _write(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    writer.write(chunk)
    await writer.drain()


async def _copy_out(reader: asyncio.StreamReader) -> None:
    while chunk := await reader.read(65536):
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]
