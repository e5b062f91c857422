"""What a WebSocket's transport does with messages that come close together."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from codebuddy.hub.http import _GatheringTransport

pytestmark = pytest.mark.anyio


class Recorder:
    """In place of a socket's transport; ``done`` has what was asked of it."""

    def __init__(self) -> None:
        self.done: list[object] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("close")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


def gathering() -> tuple[Recorder, Any]:
    recorder = Recorder()
    return recorder, _GatheringTransport(cast(asyncio.Transport, recorder))


async def test_messages_of_one_turn_are_sent_together_and_those_of_the_next_not_later() -> None:
    recorder, transport = gathering()
    transport.write(b"one ")
    transport.write(b"two")
    await asyncio.sleep(0)
    assert recorder.done == [b"one two"]
    transport.write(b"three")
    await asyncio.sleep(0)
    assert recorder.done == [b"one two", b"three"]


async def test_what_was_written_before_the_end_is_sent_before_it() -> None:
    recorder, transport = gathering()
    transport.write(b"last words")
    transport.close()
    await asyncio.sleep(0)
    assert recorder.done == [b"last words", "close"]


async def test_reading_goes_on_while_each_message_is_taken_at_once() -> None:
    recorder, transport = gathering()
    transport.pause_reading()
    transport.resume_reading()
    await asyncio.sleep(0)
    assert recorder.done == []


async def test_reading_stops_while_a_message_is_not_taken() -> None:
    recorder, transport = gathering()
    transport.pause_reading()
    await asyncio.sleep(0)
    assert recorder.done == ["pause"]
    transport.resume_reading()
    assert recorder.done == ["pause", "resume"]
