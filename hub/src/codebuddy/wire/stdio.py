"""JSON-RPC messages as lines of text, on local sockets and on standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from codebuddy.wire.jsonrpc import ChannelClosed, InputEnded, MessageTooLong

AGENT_SOCKET = Path("/run/codebuddy/agent.sock")
"""The agent's local socket, in its container; only the project's own user can open it."""

# The id of a request whose message begins as messages usually do; an id further in may belong to something else.
_ID = re.compile(
    rb'\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]{0,100}"\s*,\s*)*"id"\s*:\s*(\d{1,18}|"[^"\\]{0,100}")\s*,'
)


class LineChannel:
    """One message a line on a pair of asyncio streams; the reader's limit is the longest message."""

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
            raise await self._skip_line(error.consumed) from None
        except ConnectionError as error:
            raise ChannelClosed from error
        return line.decode("utf-8", errors="replace")

    async def send(self, text: str) -> None:
        try:
            self._writer.write(text.encode("utf-8") + b"\n")
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise ChannelClosed from error

    def unsent(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def drain(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._writer.drain()

    def end_input(self) -> None:
        """Receive nothing more; messages can still be sent."""
        self._reader.set_exception(InputEnded())

    async def _skip_line(self, buffered: int) -> MessageTooLong:
        """Read to the end of a line that is too long, and return the error that names its id."""
        head = (await self._reader.readexactly(buffered))[:1000]
        while True:
            try:
                await self._reader.readuntil(b"\n")
                break
            except asyncio.IncompleteReadError:
                break  # the next call of receive reports the end
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(error.consumed)
        found = _ID.match(head)
        return MessageTooLong(None if found is None else json.loads(found[1]))


@asynccontextmanager
async def standard_streams(limit: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open standard input and output as streams; ``limit`` is the longest line in bytes."""
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()

    def copy_input() -> None:
        try:
            while chunk := os.read(0, 65536):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(write_end, view) :]
        except OSError:
            pass  # standard input is gone, or nobody reads it any more
        os.close(write_end)

    # asyncio cannot wait for standard input when it is a file; it can wait for what a thread copies to a pipe. The
    # thread is a daemon so that a blocked read does not keep the process alive.
    threading.Thread(target=copy_input, daemon=True).start()
    reader = asyncio.StreamReader(limit=limit)
    incoming, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
    )
    outgoing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb", 0))
    try:
        yield reader, asyncio.StreamWriter(outgoing, protocol, None, loop)
    finally:
        incoming.close()
        outgoing.close()
