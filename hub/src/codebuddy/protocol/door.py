"""A door: an application served on sockets that are bound already, HTTP and WebSocket alike."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from codebuddy.protocol.channel import MAX_MESSAGE_BYTES

__all__ = ["DRAIN_SECONDS", "Door", "listen", "open_door"]

DRAIN_SECONDS = 3
"""After SIGTERM, requests that are being answered have so long to finish; then they are cancelled."""


class Door(uvicorn.Server):
    """A uvicorn server that leaves signals alone: the hub has two doors, and closes both on one signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_door(app: ASGIApp) -> Door:
    """Make the server of an application; ``serve(sockets)`` runs it."""
    return Door(
        uvicorn.Config(
            app,
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
