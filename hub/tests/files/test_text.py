"""Text and bytes: exact both ways; encodings and line endings are kept."""

from __future__ import annotations

import codecs
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.files.text import Encoding, Text, decode, encode, encode_like, line_ending_of, split_keeping_breaks
from codebuddy.tool import ToolError

texts = st.text(
    st.one_of(
        st.sampled_from("\r\na\ufeff\u2028\x0b"), st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    )
)
encodings: list[Encoding] = ["utf-8", "utf-8-bom", "utf-16-le", "utf-16-be"]


@given(texts, st.sampled_from(encodings))
def test_what_was_decoded_encodes_to_the_same_bytes(content: str, encoding: Encoding) -> None:
    data = encode(content, encoding)
    text = decode(data)
    assert encode(text.content, text.encoding) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_come_back_exactly(data: bytes) -> None:
    with contextlib.suppress(ToolError):
        text = decode(data)
        assert encode(text.content, text.encoding) == data


@pytest.mark.parametrize(
    ("data", "content", "encoding"),
    [
        (b"", "", "utf-8"),
        ("naïve 🦀".encode(), "naïve 🦀", "utf-8"),
        (codecs.BOM_UTF8 + b"a\r\n", "a\r\n", "utf-8-bom"),
        (codecs.BOM_UTF16_LE + "a🦀".encode("utf-16-le"), "a🦀", "utf-16-le"),
        (codecs.BOM_UTF16_BE + "aé".encode("utf-16-be"), "aé", "utf-16-be"),
    ],
)
def test_encodings_are_told_apart(data: bytes, content: str, encoding: str) -> None:
    assert decode(data) == Text(content, encoding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x7fELF\0\0\xff", "binary_file"),
        (b"text with \0 inside", "binary_file"),
        (codecs.BOM_UTF16_LE + b"a\0\0\0", "binary_file"),
        ("naïve".encode("latin-1"), "unsupported_encoding"),
        (codecs.BOM_UTF16_LE + b"odd", "unsupported_encoding"),
        (codecs.BOM_UTF32_LE + "a".encode("utf-32-le"), "unsupported_encoding"),
        (codecs.BOM_UTF32_BE + "a".encode("utf-32-be"), "unsupported_encoding"),
    ],
)
def test_what_is_no_text_is_refused_with_the_reason(data: bytes, code: str) -> None:
    with pytest.raises(ToolError) as refused:
        decode(data)
    assert refused.value.code == code


@pytest.mark.parametrize("content", ["a\0b", "a\ud800b"])
def test_text_that_no_file_can_hold_is_refused(content: str) -> None:
    with pytest.raises(ToolError) as refused:
        encode(content)
    assert refused.value.code == "invalid_text"


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ("", "none"),
        ("a", "none"),
        ("a\u2028b", "none"),
        ("a\nb\n", "lf"),
        ("a\r\nb", "crlf"),
        ("a\rb", "cr"),
        ("a\r\nb\n", "mixed"),
        ("a\r\nb\r", "mixed"),
        ("a\n\rb", "mixed"),
    ],
)
def test_line_endings_are_told_apart(content: str, ending: str) -> None:
    assert line_ending_of(content) == ending


@pytest.mark.parametrize(
    ("old", "new", "written"),
    [
        (b"a\r\nb\r\n", "x\ny\n", b"x\r\ny\r\n"),
        (b"a\r\nb\r\n", "x\r\ny\r\n", b"x\r\ny\r\n"),
        (b"a\r\nb\r\n", "x\r\ny\n", b"x\r\ny\n"),
        (b"a\nb\r\n", "x\ny\n", b"x\ny\n"),
        (b"a\nb\n", "x\r\ny\r\n", b"x\r\ny\r\n"),
        (b"a\rb\r", "x\ny", b"x\ry"),
        (b"a", "x\ny\n", b"x\ny\n"),
        (codecs.BOM_UTF8 + b"a\r\n", "é\n", codecs.BOM_UTF8 + "é\r\n".encode()),
        (codecs.BOM_UTF8 + b"a\n", "\ufeffx", codecs.BOM_UTF8 + b"x"),
        (codecs.BOM_UTF16_LE + "a\n".encode("utf-16-le"), "🦀\n", codecs.BOM_UTF16_LE + "🦀\n".encode("utf-16-le")),
    ],
)
def test_new_content_keeps_encoding_mark_and_uniform_line_ending(old: bytes, new: str, written: bytes) -> None:
    assert encode_like(new, decode(old)) == written


@given(texts)
def test_lines_join_to_the_text_again(content: str) -> None:
    lines = split_keeping_breaks(content)
    assert "".join(lines) == content
    assert all(line_ending_of(line) in {"none", "lf", "crlf", "cr"} for line in lines)


def test_only_the_breaks_of_the_language_server_protocol_end_a_line() -> None:
    assert split_keeping_breaks("a\nb\r\nc\rd\u2028\x0b\x0c\x85e") == ["a\n", "b\r\n", "c\r", "d\u2028\x0b\x0c\x85e"]
    assert split_keeping_breaks("a\x0cb\n\nc\u2028") == ["a\x0cb\n", "\n", "c\u2028"]
