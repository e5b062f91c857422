"""``codebuddy start``: connects standard input and output to the hub's local socket.

It runs in the hub's container, where whoever may start it is trusted already. It has to reach the links that the
serving process holds, so it copies bytes to that process and knows nothing of MCP. It imports only the standard
library: a client that launches it waits for Python's own start and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

HUB_SOCKET = Path("/run/codebuddy/hub.sock")
"""The hub's local socket, in its container; only the hub's own user can open it."""


async def bridge_stdio(socket_path: Path = HUB_SOCKET) -> int:
    """Copy bytes between standard input and output and the hub's socket until either side ends.

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

    def copy_input() -> None:
        try:
            while chunk := os.read(0, 65536):
                asyncio.run_coroutine_threadsafe(_write(writer, chunk), loop).result()
        except OSError:
            pass  # the hub closed its end, or standard input is gone: either way this direction is over
        loop.call_soon_threadsafe(input_ended.set)

    # asyncio cannot wait for standard input when it is a file, hence a thread. It is a daemon so that a blocked read
    # does not keep the process alive when the hub ends first.
    threading.Thread(target=copy_input, daemon=True).start()
    output = asyncio.create_task(_copy_output(reader))
    await asyncio.wait({output, asyncio.create_task(input_ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if not output.done():
        writer.write_eof()  # the hub still sends the answers that are under way, then closes
        await output
    return 0


async def _write(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    writer.write(chunk)
    await writer.drain()


async def _copy_output(reader: asyncio.StreamReader) -> None:
    while chunk := await reader.read(65536):
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]
