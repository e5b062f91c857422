"""A place means the same character to us and to the server, whatever the text and the encoding."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codebuddy.agent.lsp.positions import Encoding, agreed_encoding, decode_text, from_lsp, split_lines, to_lsp

FIXED = settings(derandomize=True, deadline=None)
ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
AWKWARD = st.sampled_from(
    ["a", "é", "e\u0301", "漢", "👋", "👩‍👩‍👧", "\u2028", "\x0c", "\t", "\r\n", "\n", "\r", "\ufeff", "\U0010ffff"]
)
AWKWARD_CHARACTERS = st.sampled_from("aé漢👋\u0301\u200d\u2028\x0c\t\ufeff\U0010ffff\x85\x0b\x1c")
TEXTS = st.lists(AWKWARD | st.characters(exclude_categories=["Cs"]), max_size=40).map("".join)


@FIXED
@given(TEXTS, st.sampled_from(ENCODINGS), st.data())
def test_a_place_survives_the_round_trip_to_the_server(text: str, encoding: Encoding, data: st.DataObject) -> None:
    lines = split_lines(text)
    line = data.draw(st.integers(1, len(lines)))
    column = data.draw(st.integers(1, len(lines[line - 1]) + 1))
    assert from_lsp(lines, to_lsp(lines, line, column, encoding), encoding) == (line, column)


@FIXED
@given(TEXTS, st.data())
def test_characters_are_counted_in_units_of_the_encoding(text: str, data: st.DataObject) -> None:
    lines = split_lines(text)
    line = data.draw(st.integers(1, len(lines)))
    column = data.draw(st.integers(1, len(lines[line - 1]) + 1))
    before = lines[line - 1][: column - 1]
    expected = {"utf-8": len(before.encode()), "utf-16": len(before.encode("utf-16-le")) // 2, "utf-32": len(before)}
    assert {name: to_lsp(lines, line, column, name)["character"] for name in ENCODINGS} == expected


def units(text: str, encoding: Encoding) -> int:
    """The model: the length of the encoded text."""
    width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    return len(text.encode(encoding if width == 1 else f"{encoding}-le")) // width


@FIXED
@given(TEXTS, st.sampled_from(ENCODINGS))
def test_every_position_is_the_place_that_the_model_gives(text: str, encoding: Encoding) -> None:
    """Also inside a character, which means its start, and past the end of a line, which means the end."""
    lines = split_lines(text)
    for number, line in enumerate(lines):
        for character in range(units(line, encoding) + 3):
            fitting = [end for end in range(len(line) + 1) if units(line[:end], encoding) <= character]
            place = from_lsp(lines, {"line": number, "character": character}, encoding)
            assert place == (number + 1, fitting[-1] + 1)


@FIXED
@given(TEXTS, st.sampled_from(ENCODINGS), st.integers(-3, 60), st.integers(-3, 200))
def test_any_position_gives_a_place_in_the_text(text: str, encoding: Encoding, line: int, character: int) -> None:
    lines = split_lines(text)
    to_lsp(lines, *from_lsp(lines, {"line": line, "character": character}, encoding), encoding)


@FIXED
@given(TEXTS, st.sampled_from(ENCODINGS), st.booleans())
def test_positions_do_not_count_a_byte_order_mark(text: str, encoding: Encoding, marked: bool) -> None:
    data = (b"\xef\xbb\xbf" if marked else b"") + text.encode()
    lines = split_lines(decode_text(data))
    shown = text.removeprefix("\ufeff") if not marked else text
    assert lines == split_lines(shown)
    assert to_lsp(lines, 1, 1, encoding) == {"line": 0, "character": 0}


@FIXED
@given(st.lists(st.tuples(st.text(AWKWARD_CHARACTERS, max_size=5), st.sampled_from(["\r\n", "\n", "\r"])), max_size=8))
def test_a_line_is_the_text_between_two_line_ends(parts: list[tuple[str, str]]) -> None:
    # A CR before an empty line that ends with LF is one line end together with it, and has a test of its own.
    assume(not any(before[1] == "\r" and after == ("", "\n") for before, after in pairwise(parts)))
    text = "".join(body + end for body, end in parts)
    assert split_lines(text) == [*(body for body, _ in parts), ""]


@FIXED
@given(TEXTS)
def test_no_character_is_lost_between_lines(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text.replace("\r", "").replace("\n", "")
    assert len(lines) == 1 + text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a\n", ["a", ""]),
        ("a\r\nb", ["a", "b"]),
        ("a\rb", ["a", "b"]),
        ("a\n\rb", ["a", "", "b"]),
        ("a\r\r\nb", ["a", "", "b"]),
        ("a\u2028b\x0cc\x85d", ["a\u2028b\x0cc\x85d"]),
    ],
)
def test_lines_end_as_in_the_protocol(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines


@pytest.mark.parametrize(("encoding", "character", "column"), [("utf-8", 3, 2), ("utf-16", 2, 2), ("utf-8", 99, 3)])
def test_a_position_inside_a_character_or_past_the_line_is_clamped(
    encoding: Encoding, character: int, column: int
) -> None:
    assert from_lsp(["a👋"], {"line": 0, "character": character}, encoding) == (1, column)


def test_a_position_past_the_last_line_is_the_end_of_the_text() -> None:
    assert from_lsp(["ab", "c"], {"line": 9, "character": 0}, "utf-16") == (2, 2)


@pytest.mark.parametrize(("line", "column", "said"), [(0, 1, "no line 0"), (3, 1, "2 lines"), (1, 4, "2 characters")])
def test_a_missing_place_is_rejected_with_what_exists(line: int, column: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_lsp(["ab", "c"], line, column, "utf-8")


def test_the_first_column_comes_after_a_byte_order_mark() -> None:
    assert decode_text(b"\xef\xbb\xbfabc") == "abc"


@pytest.mark.parametrize(("answer", "encoding"), [("utf-8", "utf-8"), ("utf-16", "utf-16"), (None, "utf-32")])
def test_an_announced_encoding_precedes_the_known_deviation_of_a_server(answer: object, encoding: Encoding) -> None:
    assert agreed_encoding(answer, "pylsp") == encoding


@pytest.mark.parametrize("answer", [None, "utf-7", 5, {}])
def test_an_unknown_encoding_means_the_default_of_the_protocol(answer: object) -> None:
    assert agreed_encoding(answer) == "utf-16"
