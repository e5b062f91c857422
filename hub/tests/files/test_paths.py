"""Workspace paths: what is refused, and that every legal file name travels there and back."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebuddy.files.paths import WorkspacePath, from_wire, to_wire
from codebuddy.text_safety import printable
from codebuddy.tool import ToolError


@pytest.mark.parametrize(
    ("text", "project", "parts"),
    [
        ("p/src/a.ts", "p", ("src", "a.ts")),
        ("p", "p", ()),
        ("p/", "p", ()),
        ("p//src/./a.ts", "p", ("src", "a.ts")),
        ("p/..foo", "p", ("..foo",)),
        ("p/foo..", "p", ("foo..",)),
        ("p/...", "p", ("...",)),
        ("p/-rf", "p", ("-rf",)),
        ("p/a\nb", "p", ("a\nb",)),
        ("p/$(id);`id`", "p", ("$(id);`id`",)),
        ("p/" + "x" * 255, "p", ("x" * 255,)),
        ("p/" + "é" * 127, "p", ("é" * 127,)),
        ("p/\\xff", "p", ("\udcff",)),
        ("p/back\\slash", "p", ("back\\slash",)),
        ("p/\\x41", "p", ("\\x41",)),
        ("p/\\xc3\\xa9", "p", ("é",)),
    ],
)
def test_legal_paths_are_read_as_they_are_meant(text: str, project: str, parts: tuple[str, ...]) -> None:
    assert WorkspacePath.parse(text) == WorkspacePath(project, parts)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_path"),
        ("/", "invalid_path"),
        (".", "invalid_path"),
        ("/etc/passwd", "invalid_path"),
        ("/workspaces/p/a", "invalid_path"),
        ("p/a\0b", "invalid_path"),
        ("p/a/../b", "invalid_path"),
        ("p/\ud800", "invalid_path"),
        ("..", "outside_project"),
        ("../etc/passwd", "outside_project"),
        ("p/..", "outside_project"),
        ("p/../q/a", "outside_project"),
        ("p/a/../../q", "outside_project"),
        ("p/./../p/a", "outside_project"),
        ("p/" + "x" * 256, "name_too_long"),
        ("p/" + "é" * 128, "name_too_long"),
        ("p/" + "x/" * 2100, "name_too_long"),
    ],
)
def test_bad_paths_are_refused_with_a_sentence(text: str, code: str) -> None:
    with pytest.raises(ToolError) as refused:
        WorkspacePath.parse(text)
    assert refused.value.code == code
    assert refused.value.message.endswith((".", "b"))
    json.dumps(refused.value.path).encode()
    if refused.value.path is not None:
        refused.value.path.encode()


def test_a_path_with_dots_is_answered_with_the_path_to_write_instead() -> None:
    with pytest.raises(ToolError, match="p/b/c"):
        WorkspacePath.parse("p/a/../b/c")


legal_names = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"/", b"").replace(b"\0", b"") or b"x")


@given(legal_names)
def test_every_file_name_travels_as_utf8_and_comes_back_as_the_same_bytes(raw: bytes) -> None:
    name = os.fsdecode(raw)
    wire = to_wire(name)
    wire.encode("utf-8")
    assert os.fsencode(from_wire(wire)) == raw


@given(
    st.lists(st.sampled_from([b"\\", b"x", b"5", b"c", b"f", b"\xff", b"\xc3\xa9"]), min_size=1, max_size=12).map(
        b"".join
    )
)
def test_names_that_look_like_escapes_come_back_too(raw: bytes) -> None:
    assert os.fsencode(from_wire(to_wire(os.fsdecode(raw)))) == raw


@given(legal_names.filter(lambda raw: raw not in (b".", b"..")))
def test_a_path_that_was_answered_can_be_asked_for(raw: bytes) -> None:
    path = WorkspacePath("p", ("d", os.fsdecode(raw)))
    assert WorkspacePath.parse(str(path)) == path


def test_a_newline_in_a_name_stays_on_one_line_of_text() -> None:
    assert printable("p/a\nb\x1b[31m") == "p/a\\nb\\x1b[31m"
