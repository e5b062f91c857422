"""The link between hub and agent: who connects, the MCP handshake, tool calls; for both ends, without the MCP SDK.

The agent is the server and the hub its client; in a spoke's container ``codebuddy spoke --stdio`` is a client too. With
the SDK every spoke would take 28 MB more and every question half a millisecond more. The SDK serves the clients of the
hub, and of a spoke over stdio.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from codebuddy import __version__
from codebuddy.tool import ALL_SCOPES, HUB, Call, Principal, Tool
from codebuddy.wire.calls import describe_tool, run_tool
from codebuddy.wire.jsonrpc import (
    INVALID_PARAMS,
    MAX_MESSAGE_BYTES,
    METHOD_NOT_FOUND,
    SUBPROTOCOL,
    UNSUPPORTED_DATA,
    Channel,
    ChannelClosed,
    Incoming,
    RemoteError,
    RpcConnection,
)

LINK_PATH: Final = "/link"
"""The path on which an agent connects to *serve* MCP; on ``/`` the same token is a client's."""

HANDSHAKE_SECONDS: Final = 30.0  # a busy machine may take some

_FIRST_DELAY_SECONDS: Final = 0.5
# After a refusal, which somebody has to mend, and while nobody listens: the hub may come at any time, and to try costs
# nothing.
_LONGEST_DELAY_SECONDS: Final = 15.0
_AWAY_DELAY_SECONDS: Final = 1.0

# The kernel probes a silent peer after this time, at this interval, and ends the connection after so many probes.
_PROBE_SECONDS: Final = 3
_PROBES: Final = 4
_GONE_SECONDS: Final = _PROBE_SECONDS * (_PROBES + 1)

# struct tcp_info (linux/tcp.h): its size up to what is read here, and offsets in it.
_TCP_INFO_SIZE: Final = 136
_UNACKNOWLEDGED: Final = 24  # tcpi_unacked, in segments
_LAST_ACK: Final = 56  # tcpi_last_ack_recv, in milliseconds from then to now
_BYTES_RECEIVED: Final = 128  # tcpi_bytes_received

OnState = Callable[[str, str | None], None]
"""Takes whether the link is up, ``connected`` or ``disconnected``, and why not."""

_VERSION: Final = "2025-11-25"
_VERSIONS: Final = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", _VERSION})

log = logging.getLogger(__name__)


class TcpSocket(Protocol):
    """What is needed of a connected TCP socket, or of what asyncio gives in its place."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


class TcpPeer:
    """The other end of a link, as the kernel sees it, which notices at once that a network or a host is gone.

    The peer's kernel answers however busy its process is: a slow peer is not taken for a dead one.
    """

    def __init__(self, connection: TcpSocket) -> None:
        self._connection = connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)

    def bytes_received(self) -> int:
        """Return how many bytes have arrived, whether they were read or not."""
        return int(struct.unpack_from("=Q", self._info(), _BYTES_RECEIVED)[0])

    def is_gone(self) -> bool:
        """Say whether what was sent has not been acknowledged for long.

        The kernel does not probe such a connection, and sends again for a quarter of an hour. TCP_USER_TIMEOUT would
        also end a connection whose peer lives and is too slow to read.
        """
        info = self._info()
        (unacknowledged,) = struct.unpack_from("=I", info, _UNACKNOWLEDGED)
        (milliseconds,) = struct.unpack_from("=I", info, _LAST_ACK)
        return bool(unacknowledged and milliseconds > 1000 * _GONE_SECONDS)

    def _info(self) -> bytes:
        try:
            return self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        except OSError:  # it is closed
            return bytes(_TCP_INFO_SIZE)


class LinkServer:
    """Serves tools on links, listed in their order; ``log_name`` tells callers where to find what it logs."""

    def __init__(self, name: str, tools: Sequence[Tool[Any]], log_name: str) -> None:
        self._name = name
        self._log_name = log_name
        self._tools = {tool.name: tool for tool in tools}

    async def serve(self, channel: Channel, principal: Principal, peer: TcpPeer | None = None) -> None:
        """Serve one connection, whose requests all come from this principal, until it ends."""

        async def answer(incoming: Incoming) -> dict[str, Any]:
            return await self._answer(incoming, principal)

        connection = RpcConnection(channel, answer, max_requests=None, peer=peer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_when_unresponsive, connection, tasks.cancel_scope)
            await connection.run()
            tasks.cancel_scope.cancel()

    async def _answer(self, incoming: Incoming, principal: Principal) -> dict[str, Any]:
        params = incoming.params or {}
        match incoming.method:
            case "tools/call":
                return await self._call(incoming, params, principal)
            case "ping":
                return {}
            case "initialize":
                requested = params.get("protocolVersion")
                return {
                    "protocolVersion": requested if requested in _VERSIONS else _VERSION,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": self._name, "version": __version__},
                }
            case "tools/list":
                return {"tools": [describe_tool(tool) for tool in self._tools.values()]}
        if incoming.request_id is None:
            return {}  # notifications need no answer
        raise RemoteError(METHOD_NOT_FOUND, "Method not found", incoming.method)

    async def _call(self, incoming: Incoming, params: dict[str, Any], principal: Principal) -> dict[str, Any]:
        name, arguments = params.get("name"), params.get("arguments")
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            known = ", ".join(self._tools)
            raise RemoteError(INVALID_PARAMS, f"There is no tool {name!r}; there are: {known}.")
        if arguments is not None and not isinstance(arguments, dict):
            raise RemoteError(INVALID_PARAMS, "The arguments of a tool are an object.")
        call = Call(principal, incoming.progress, lambda: incoming.departure)
        return await run_tool(tool, call, arguments, self._log_name, for_hub=True)


async def _cancel_when_unresponsive(connection: RpcConnection, serving: anyio.CancelScope) -> None:
    """End a connection whose other side is gone or has hung."""
    await connection.wait_until_unresponsive()
    log.warning("the other side of a link does not answer; the link is closed")
    serving.cancel()


async def initialize(connection: RpcConnection, name: str) -> None:
    """Do the MCP handshake as the client ``name``, on a connection whose `RpcConnection.run` is running.

    Raises:
        RemoteError: the server refuses, or its answer is not a handshake.
        ConnectionLost: the server went away.
        TimeoutError: the server did not answer within ``HANDSHAKE_SECONDS``.
    """
    params = {
        "protocolVersion": _VERSION,
        "capabilities": {},
        "clientInfo": {"name": name, "version": __version__},
    }
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        result = (await connection.request("initialize", params)).result
        if not isinstance(result, dict) or result.get("protocolVersion") not in _VERSIONS:
            raise RemoteError(INVALID_PARAMS, "the server speaks no version of MCP that is known here")
        await connection.notify("notifications/initialized")


class ClientChannel:
    """Text messages on a WebSocket connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.peer = TcpPeer(connection.transport.get_extra_info("socket"))

    async def receive(self) -> str:
        try:
            frame = await self._connection.recv()
        except ConnectionClosed as error:
            raise ChannelClosed from error
        if isinstance(frame, bytes):
            await self._connection.close(UNSUPPORTED_DATA, "text frames only")
            raise ChannelClosed
        return frame

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise ChannelClosed from error

    @property
    def close_reason(self) -> str | None:
        """Why the other side closed the connection, if it said so."""
        return self._connection.close_reason


def _read_token(path: Path) -> str:
    return path.read_text().strip()


@asynccontextmanager
async def open_channel(url: str, token_path: Path) -> AsyncIterator[ClientChannel]:
    """Connect to a listener of the hub with the token in a file, which is read at each connection."""
    async with connect(
        url,
        additional_headers={"Authorization": f"Bearer {_read_token(token_path)}"},
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        max_size=MAX_MESSAGE_BYTES,
        compression=None,
        ping_interval=None,  # see `TcpPeer`
        proxy=None,
        open_timeout=HANDSHAKE_SECONDS,
        close_timeout=2,
    ) as connection:
        yield ClientChannel(connection)


def reconnect_delays(
    most: float = _LONGEST_DELAY_SECONDS, uniform: Callable[[float, float], float] = random.uniform
) -> Iterator[float]:
    """Return the delays between attempts to connect, in seconds.

    They double from 0.5 to ``most``, and each is drawn from its upper half, so that fifty spokes do not connect to a
    restarted hub at the same instant.
    """
    longest = _FIRST_DELAY_SECONDS
    while True:
        yield uniform(longest / 2, longest)
        longest = min(2 * longest, most)


async def maintain_link(url: str, token_path: Path, server: LinkServer, project: str, on_state: OnState) -> None:
    """Keep a link to the hub: connect, serve until it ends, wait, connect again. Returns only when cancelled.

    The token is read each time, because its file is renewed while the agent runs.
    """
    hub = Principal(subject=HUB, projects=frozenset({project}), scopes=ALL_SCOPES)
    refused, away, said = reconnect_delays(), reconnect_delays(_AWAY_DELAY_SECONDS), ""
    while True:
        delays = refused
        try:
            async with open_channel(url, token_path) as channel:
                log.info("link to %s: connected", url)
                on_state("connected", None)
                delays = refused = reconnect_delays()
                said = ""
                await server.serve(channel, hub, channel.peer)
                why = channel.close_reason or "the hub closed the connection"
        except InvalidStatus as error:
            body = error.response.body or b""
            why = f"the hub refused it with {error.response.status_code}: {body.decode('utf-8', 'replace')[:300]}"
        except OSError as error:  # as is TimeoutError
            why, delays = f"{type(error).__name__}: {error}", away
        except (InvalidHandshake, WebSocketException) as error:
            why = f"{type(error).__name__}: {error}"
        except Exception as error:
            # Whatever the hub sends, the agent goes on: everything that runs here would end with it.
            log.exception("link to %s: it failed", url)
            why = f"{type(error).__name__}: {error}"
        on_state("disconnected", why)
        if why != said:
            log.info("link to %s: %s; trying again", url, why)
            said = why
        await anyio.sleep(next(delays))
