"""Turns any carrier of text messages into the stream pair that the MCP SDK serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from codebuddy.protocol.channel import Channel, ChannelClosed

__all__ = ["Streams", "message_streams"]

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


@asynccontextmanager
async def message_streams(channel: Channel, closed: anyio.Event | None = None) -> AsyncIterator[Streams]:
    """Pump messages between a channel and a pair of streams of ``SessionMessage``.

    Text that is not a JSON-RPC message is answered with a parse error (the SDK's own loops leave it unanswered, and the
    client waits for ever). The read stream ends when the channel closes.

    Args:
        channel: carries the messages; it is left to the caller to close.
        closed: set when the channel closes; a client session ends quietly then, and whoever holds it wants to know.
    """
    incoming_send, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, outgoing_receive = anyio.create_memory_object_stream[SessionMessage](0)

    async def pump_in() -> None:
        try:
            async with incoming_send:
                while True:
                    text = await channel.receive()
                    try:
                        message = types.jsonrpc_message_adapter.validate_json(text, by_name=False)
                    except ValidationError:
                        await channel.send(_not_a_message())
                    else:
                        await incoming_send.send(SessionMessage(message))
        except (ChannelClosed, anyio.BrokenResourceError, anyio.ClosedResourceError):
            if closed is not None:
                closed.set()

    async def pump_out() -> None:
        async with outgoing_receive:
            async for item in outgoing_receive:
                try:
                    await channel.send(item.message.model_dump_json(by_alias=True, exclude_unset=True))
                except ChannelClosed:
                    return

    async with anyio.create_task_group() as pumps:
        pumps.start_soon(pump_in)
        pumps.start_soon(pump_out)
        try:
            yield incoming, outgoing
        finally:
            pumps.cancel_scope.cancel()
            incoming.close()
            outgoing.close()


def _not_a_message() -> str:
    error = types.ErrorData(code=types.PARSE_ERROR, message="This is not a JSON-RPC 2.0 message.")
    return types.JSONRPCError(jsonrpc="2.0", id=None, error=error).model_dump_json(by_alias=True, exclude_unset=True)
