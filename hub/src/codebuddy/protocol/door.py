"""A door: an application served on sockets that are bound already, HTTP and WebSocket alike."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES

__all__ = ["DRAIN_SECONDS", "Door", "listen", "open_door"]

DRAIN_SECONDS = 3
"""After SIGTERM, requests that are being answered have so long to finish; then they are cancelled."""


MAX_CONNECTIONS = 128
"""Connections on one listener: who opens more gets no further, and takes no descriptor from the others."""

MAX_SPOKE_CONNECTIONS = 16
"""The same where spokes come in: each connection may hold a message that is never finished, as long as one may be."""

FIRST_REQUEST_SECONDS = 10.0
"""A connection that has not sent a whole request by then is closed."""


class _BoundedConnection(H11Protocol):
    """An HTTP connection that must say soon what it wants, one of a limited number on its listener."""

    limit = MAX_CONNECTIONS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        listener = transport.get_extra_info("sockname")
        others = sum(
            getattr(other, "transport", None) is not None and other.transport.get_extra_info("sockname") == listener
            for other in self.connections
        )
        super().connection_made(transport)
        if others >= self.limit:
            transport.abort()
        else:
            asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._end_if_silent)

    def _end_if_silent(self) -> None:
        # After an upgrade another protocol has the transport, and has seen a whole request.
        if self.cycle is None and self.transport.get_protocol() is self:
            cast(asyncio.Transport, self.transport).abort()


class _SpokeConnection(_BoundedConnection):
    limit = MAX_SPOKE_CONNECTIONS


class Door(uvicorn.Server):
    """A uvicorn server that leaves signals alone: the hub has two doors, and closes both on one signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_door(app: ASGIApp, for_spokes: bool = False) -> Door:
    """Make the server of an application; ``serve(sockets)`` runs it.

    Args:
        app: the application.
        for_spokes: whether spokes come in here, which may be hostile: of each fewer connections are taken.
    """
    return Door(
        uvicorn.Config(
            app,
            http=_SpokeConnection if for_spokes else _BoundedConnection,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            ws_per_message_deflate=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )


def listen(address: str, port: int) -> socket.socket:
    """Bind one address and no other: what is not bound cannot be reached from the wrong network."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(256)
    return listener
