"""Output in bounded memory: its beginning and end, in whole characters, each segment with its stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.agent.runs.output import OutputBuffer, Piece, excerpt_of, whole_characters
from codebuddy.text_safety import label_lines


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"ab", b"cd"], "abcd"),
        ([b"abcdefgh"], "abcdefgh"),
        ([b"abcdefghi"], "ab\n[... 1 bytes left out ...]\ndefghi"),
        ([b"abcd", b"efgh", b"ijklmnop"], "ab\n[... 8 bytes left out ...]\nklmnop"),
        (["aü".encode(), b"xxxxxxx", "üz".encode()], "a\n[... 5 bytes left out ...]\nxxxüz"),
        ([b"\xff\xfe"], "\ufffd\ufffd"),
        ([], ""),
    ],
)
def test_the_beginning_and_the_end_are_kept(pieces: list[bytes], text: str) -> None:
    buffer = OutputBuffer(8)
    for piece in pieces:
        buffer.add("stdout", piece)
    assert buffer.excerpt().text == text


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=30)), max_size=40), st.integers(0, 60)
)
def test_the_streams_cover_the_text_and_omitted_bytes_are_counted(pieces: list[tuple[str, bytes]], limit: int) -> None:
    buffer = OutputBuffer(limit)
    for stream, data in pieces:
        buffer.add("stdout" if stream == "stdout" else "stderr", data)
    text, streams = buffer.excerpt()
    assert sum(stretch.characters for stretch in streams) == len(text)
    total = sum(len(data) for _, data in pieces)
    assert buffer.total == total
    assert buffer.omitted == max(0, total - limit)
    assert any(stretch.stream == "omitted" for stretch in streams) == (buffer.omitted > 0)


def test_much_output_is_kept_in_bounded_memory() -> None:
    buffer = OutputBuffer(1000)
    for _ in range(20_000):
        buffer.add("stdout", b"x" * 999 + b"\n")
    kept = [*buffer._head, *buffer._tail]
    assert sum(len(piece.data) for piece in kept) <= 3000
    assert buffer.total == 20_000_000


def test_streams_that_alternate_with_each_byte_use_bounded_memory_and_answers() -> None:
    buffer = OutputBuffer(100_000)
    for number in range(200_000):
        buffer.add("stdout" if number % 2 else "stderr", b"%d" % (number % 10))
    assert len(buffer._head) + len(buffer._tail) < 2500
    text, streams = buffer.excerpt()
    assert sum(stretch.characters for stretch in streams) == len(text)
    assert len(streams) < 1010
    assert {stretch.stream for stretch in streams} == {"stdout", "stderr", "mixed", "omitted"}
    assert text.endswith("0123456789")
    many = [Piece("stdout" if number % 2 else "stderr", b"x") for number in range(50_000)]
    assert len(excerpt_of(many).streams) == 500


def test_a_character_split_by_another_streams_output_is_decoded() -> None:
    first, second = "ü".encode()[:1], "ü".encode()[1:]
    text, streams = excerpt_of([Piece("stdout", first), Piece("stderr", b"e"), Piece("stdout", second)])
    assert text == "eü"
    assert [(stretch.stream, stretch.characters) for stretch in streams] == [("stderr", 1), ("stdout", 1)]


@given(st.text(max_size=20), st.integers(0, 80))
def test_output_is_cut_between_characters(text: str, at: int) -> None:
    data = text.encode("utf-8", "replace")[:at]
    whole = data[: whole_characters(data)]
    assert whole == data.decode("utf-8", "ignore").encode()


@pytest.mark.parametrize(
    ("text", "labelled"), [("", "> "), ("a", "> a"), ("a\n", "> a\n"), ("a\nb\n", "> a\n> b\n"), ("\n", "> \n")]
)
def test_every_line_is_labelled(text: str, labelled: str) -> None:
    assert label_lines(text, "> ") == labelled
