"""MCP as lines of JSON: local sockets, and ``codebuddy start``, which joins standard input and output to the hub's.

``start`` runs inside the hub container, where whoever may start it is already trusted. It must reach the links that the
serving process holds, so it carries bytes to that process and knows nothing of MCP. It imports only the standard
library: a client that launches it waits for Python alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from codebuddy.wire.jsonrpc import ChannelClosed, InputEnded, MessageTooLong

HUB_SOCKET = Path("/run/codebuddy/hub.sock")
"""The hub's local socket, in its container; only the hub's own user can open it."""


AGENT_SOCKET = Path("/run/codebuddy/agent.sock")
"""The agent's local socket, in its container; only the project's own user can open it."""

# The id of a request whose message begins as messages do; an id further in may be anything's.
_ID = re.compile(
    rb'\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]{0,100}"\s*,\s*)*"id"\s*:\s*(\d{1,18}|"[^"\\]{0,100}")\s*,'
)


class LineChannel:
    """Text messages, one a line, on a pair of asyncio streams; the reader's limit is that of a message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> str:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            if not error.partial.strip():
                raise InputEnded from None
            line = error.partial
        except asyncio.LimitOverrunError as error:
            raise await self._leave_out(error.consumed) from None
        except ConnectionError as error:
            raise ChannelClosed from error
        return line.decode("utf-8", errors="replace")

    def end_input(self) -> None:
        """Receive nothing more; what is sent still goes out."""
        self._reader.set_exception(InputEnded())

    async def _leave_out(self, held: int) -> MessageTooLong:
        """Read to the end of a line that is too long, keeping its beginning only."""
        head = await self._read_some(held)
        while True:
            try:
                await self._reader.readuntil(b"\n")
                break
            except asyncio.IncompleteReadError:
                break  # the next one to read is told
            except asyncio.LimitOverrunError as error:
                await self._read_some(error.consumed)
        found = _ID.match(head)
        return MessageTooLong(None if found is None else json.loads(found[1]))

    async def _read_some(self, size: int) -> bytes:
        return (await self._reader.readexactly(size))[:1000]

    async def send(self, text: str) -> None:
        try:
            self._writer.write(text.encode("utf-8") + b"\n")
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise ChannelClosed from error


@asynccontextmanager
async def standard_streams(limit: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give standard input and output as streams.

    Args:
        limit: of a line, in bytes.
    """
    loop = asyncio.get_running_loop()
    out, inward = os.pipe()

    def copy_in() -> None:
        try:
            while chunk := os.read(0, 65536):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(inward, view) :]
        except OSError:
            pass  # standard input is gone, or nobody reads it any more
        os.close(inward)

    # As below: standard input may be a file. What the thread writes, asyncio can wait for.
    threading.Thread(target=copy_in, daemon=True).start()
    reader = asyncio.StreamReader(limit=limit)
    incoming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(out, "rb", 0))
    outgoing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb", 0))
    try:
        yield reader, asyncio.StreamWriter(outgoing, protocol, None, loop)
    finally:
        incoming.close()
        outgoing.close()


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
