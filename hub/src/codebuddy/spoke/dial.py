"""Dials the hub and serves this project's tools on the link, for ever."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from codebuddy.tool import ALL_SCOPES, Principal
from codebuddy.wire.jsonrpc import MAX_MESSAGE_BYTES, SUBPROTOCOL
from codebuddy.wire.link import LinkServer
from codebuddy.wire.websocket_client import ClientChannel

__all__ = ["dial_for_ever", "read_token", "waits"]

FIRST_WAIT = 0.5
LONGEST_WAIT = 15.0
PING_SECONDS = 20.0

log = logging.getLogger(__name__)

OnState = Callable[[str, str | None], None]
"""Is told ``connected`` or ``disconnected``, and why."""


def waits(uniform: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Give the waits between attempts, in seconds: doubling from 0.5 to 15, each drawn from its upper half, so that
    fifty spokes do not dial a restarted hub at the same instant.
    """
    longest = FIRST_WAIT
    while True:
        yield uniform(longest / 2, longest)
        longest = min(2 * longest, LONGEST_WAIT)


def read_token(path: Path) -> str:
    """Read the token afresh: it is renewed on disk while the agent runs."""
    return path.read_text().strip()


async def dial_for_ever(url: str, token_path: Path, server: LinkServer, project: str, on_state: OnState) -> None:
    """Keep a link to the hub: connect, serve until it ends, wait, again. Returns only when cancelled.

    Args:
        url: where the link is taken.
        token_path: file with this project's token.
        server: the tools to serve.
        project: id of the project.
        on_state: is told each change.
    """
    hub = Principal(subject="hub", projects=frozenset({project}), scopes=ALL_SCOPES)
    pauses = waits()
    while True:
        try:
            async with connect(
                url,
                additional_headers={"Authorization": f"Bearer {read_token(token_path)}"},
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                max_size=MAX_MESSAGE_BYTES,
                compression=None,
                ping_interval=PING_SECONDS,
                proxy=None,
                open_timeout=10,
                close_timeout=2,
            ) as connection:
                log.info("link to %s: connected", url)
                on_state("connected", None)
                pauses = waits()
                await server.serve(ClientChannel(connection), hub)
                why = connection.close_reason or "the hub closed the connection"
        except InvalidStatus as error:
            body = error.response.body or b""
            why = f"the hub refused it with {error.response.status_code}: {body.decode('utf-8', 'replace')[:300]}"
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            why = f"{type(error).__name__}: {error}"
        except Exception as error:
            # Whatever the hub says or breaks, the agent lives and dials again: with it would die all that runs here.
            log.exception("link to %s: it failed", url)
            why = f"{type(error).__name__}: {error}"
        on_state("disconnected", why)
        pause = next(pauses)
        log.info("link to %s: %s; trying again in %.1f s", url, why, pause)
        await anyio.sleep(pause)
