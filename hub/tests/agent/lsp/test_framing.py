"""Bytes become messages however they are cut; no input raises, and none is kept without bound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.agent.lsp.transport import MAX_HEADER, BadFrame, Decoder, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab👋", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text("ab", max_size=3), JSON, max_size=3), max_size=4), st.data())
def test_messages_survive_any_cutting_of_the_stream(messages: list[dict[str, Any]], data: st.DataObject) -> None:
    stream = b"".join(encode(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = Decoder()
    found = [
        item
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for item in decoder.feed(stream[start:end])
    ]
    assert found == messages


@given(st.binary(max_size=200))
def test_no_input_raises(data: bytes) -> None:
    Decoder().feed(data)


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 99999999999999\r\n\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: ten\r\n\r\n",
        b"Content-Type: x\r\n\r\n",
        b"\r\n\r\n",
        b"x" * (MAX_HEADER + 1),
    ],
)
def test_an_invalid_header_ends_the_stream(header: bytes) -> None:
    decoder = Decoder()
    (item,) = decoder.feed(header + encode({"after": 1}))
    assert isinstance(item, BadFrame)
    assert item.fatal
    assert decoder.feed(encode({"later": 1})) == []


@pytest.mark.parametrize("body", [b"{", b"[1]", b"5", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b""])
def test_an_invalid_body_does_not_affect_later_messages(body: bytes) -> None:
    item, after = Decoder().feed(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) + encode({"after": 1}))
    assert isinstance(item, BadFrame)
    assert not item.fatal
    assert after == {"after": 1}


def test_other_headers_and_lower_case_are_accepted() -> None:
    frame = b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:2\r\n\r\n{}"
    assert Decoder().feed(frame) == [{}]
