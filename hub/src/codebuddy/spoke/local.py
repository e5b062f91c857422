"""The agent's local socket, for ``codebuddy spoke --stdio``: who may execute programs in the container is trusted."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from codebuddy.tool import ALL_SCOPES, Principal
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES
from codebuddy.wire.link import LinkServer
from codebuddy.wire.stdio import LineChannel

__all__ = ["listen_locally", "local_principal"]

log = logging.getLogger(__name__)


def local_principal(project: str) -> Principal:
    """Give whom a caller inside the container of a project stands for."""
    return Principal("local", frozenset({project}), ALL_SCOPES)


async def listen_locally(server: LinkServer, project: str, path: Path) -> None:
    """Serve on a local socket that only this user can open, until cancelled.

    Args:
        server: the project's tools.
        project: its id.
        path: of the socket; what an agent before us left there is replaced.
    """
    principal = local_principal(project)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await server.serve(LineChannel(reader, writer), principal)
        finally:
            writer.close()

    try:
        _make_room(path)
        before = os.umask(0o177)  # it is never open to others, not even between two calls
        try:
            listener = await asyncio.start_unix_server(serve, path, limit=MAX_MESSAGE_BYTES)
        finally:
            os.umask(before)
    except OSError as error:
        # The link is what the agent is for; without the socket `codebuddy spoke --stdio` has servers of its own.
        log.warning("cannot listen on %s: %s", path, error.strerror)
        return
    async with listener:
        await listener.serve_forever()


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
