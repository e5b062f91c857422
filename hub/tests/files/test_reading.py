"""Reading: ranges of lines, sizes, and the hash of the whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codebuddy.files.confinement import ProjectRoot
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import read_bytes, read_excerpt
from codebuddy.tool import ToolError

PATH = WorkspacePath("p", ("f",))


@pytest.mark.parametrize(
    ("data", "start", "end", "content", "first", "last", "total"),
    [
        (b"", None, None, "", 1, 0, 0),
        (b"a", None, None, "a", 1, 1, 1),
        (b"a\nb\n", None, None, "a\nb\n", 1, 2, 2),
        (b"a\nb\nc", 2, None, "b\nc", 2, 3, 3),
        (b"a\nb\nc", 2, 2, "b\n", 2, 2, 3),
        (b"a\nb\nc", None, 2, "a\nb\n", 1, 2, 3),
        (b"a\nb\nc", 2, 99, "b\nc", 2, 3, 3),
        (b"a\r\nb\rc\n", 2, 3, "b\rc\n", 2, 3, 3),
        (b"\xef\xbb\xbfa\r\n", 1, 1, "a\r\n", 1, 1, 1),
    ],
)
def test_ranges(
    directory: Path,
    root: ProjectRoot,
    *,
    data: bytes,
    start: int,
    end: int,
    content: str,
    first: int,
    last: int,
    total: int,
) -> None:
    (directory / "f").write_bytes(data)
    excerpt = read_excerpt(root, PATH, start, end)
    assert (excerpt.content, excerpt.start_line, excerpt.end_line, excerpt.total_lines) == (content, first, last, total)
    assert excerpt.hash == "sha256:" + hashlib.sha256(data).hexdigest()
    assert not excerpt.truncated


@pytest.mark.parametrize(("start", "end"), [(4, None), (2, 1), (9, 9)])
def test_ranges_that_are_none_are_refused(directory: Path, root: ProjectRoot, start: int, end: int | None) -> None:
    (directory / "f").write_text("a\nb\nc\n")
    with pytest.raises(ToolError) as refused:
        read_excerpt(root, PATH, start, end)
    assert refused.value.code == "invalid_range"
    assert refused.value.path == "p/f"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text("aé🦀", max_size=5), min_size=1, max_size=20), st.integers(21, 60))
def test_a_long_file_can_be_read_on_where_the_answer_ended(
    directory: Path, root: ProjectRoot, lines: list[str], room: int
) -> None:
    text = "".join(line + "\n" for line in lines)
    (directory / "f").write_text(text)
    pieces, start = [], 1
    while True:
        excerpt = read_excerpt(root, PATH, start, answer_bytes=room)
        assert len(excerpt.content.encode()) <= room
        pieces.append(excerpt.content)
        if not excerpt.truncated:
            break
        start = excerpt.end_line + 1
    assert "".join(pieces) == text


def test_of_a_line_too_long_for_an_answer_the_beginning_is_given(directory: Path, root: ProjectRoot) -> None:
    (directory / "f").write_text("é" * 100)
    excerpt = read_excerpt(root, PATH, answer_bytes=11)
    assert (excerpt.content, excerpt.truncated, excerpt.next_column) == ("é" * 5, True, 6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.text("aé🦀", max_size=30), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.integers(4, 30)
)
def test_long_lines_are_read_piece_by_piece_as_each_answer_says(
    directory: Path, root: ProjectRoot, lines: list[str], ending: str, room: int
) -> None:
    text = ending.join(lines)
    (directory / "f").write_bytes(text.encode())
    pieces, line, column = [], 1, 1
    while True:
        excerpt = read_excerpt(root, PATH, line, start_column=column, answer_bytes=room)
        assert len(excerpt.content.encode()) <= room
        pieces.append(excerpt.content)
        if not excerpt.truncated:
            break
        line, column = (
            (excerpt.end_line + 1, 1) if excerpt.next_column is None else (excerpt.end_line, excerpt.next_column)
        )
    assert "".join(pieces) == text


def test_a_column_behind_the_line_is_refused(directory: Path, root: ProjectRoot) -> None:
    (directory / "f").write_text("abc\nd\n")
    assert read_excerpt(root, PATH, 1, start_column=2).content == "bc\nd\n"
    assert read_excerpt(root, PATH, 1, 1, start_column=2).content == "bc\n"
    with pytest.raises(ToolError, match="Line 1 has 4 characters; start_column 5") as refused:
        read_excerpt(root, PATH, 1, start_column=5)
    assert refused.value.code == "invalid_range"


def test_a_sparse_huge_file_is_refused_without_reading_it(directory: Path, any_root: ProjectRoot) -> None:
    with (directory / "f").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ToolError) as refused:
        read_bytes(any_root, PATH)
    assert refused.value.code == "too_large"


def test_a_file_that_claims_to_be_empty_is_read_to_its_limit_only() -> None:
    root = ProjectRoot("p", "/proc/self")  # its files have size 0 and content
    with pytest.raises(ToolError) as refused:
        read_bytes(root, WorkspacePath("p", ("maps",)), limit=100)
    assert refused.value.code == "too_large"
    assert read_bytes(root, WorkspacePath("p", ("comm",)))


@pytest.mark.parametrize(("size", "passes"), [(100, True), (101, False)])
def test_the_limit_itself_is_allowed(directory: Path, root: ProjectRoot, size: int, passes: bool) -> None:
    (directory / "f").write_bytes(b"x" * size)
    if passes:
        assert len(read_bytes(root, PATH, limit=100)) == size
    else:
        with pytest.raises(ToolError):
            read_bytes(root, PATH, limit=100)
