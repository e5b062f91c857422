"""Formatting, code actions and edits by symbol with real language servers: each is one edit that can be undone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from mcp.client.client import Client

from codebuddy_testing.clients import call, refused

pytestmark = pytest.mark.anyio

UNFORMATTED = {
    "project-a": ("a.ts", "function  f(x:number){\r\n  return   '😀'+x;\r\n}\r\n", "function f(x: number) {"),
    "project-c": ("c.rs", '// 漢\nfn  f(x:u8)->u8{\n  println!("😀");x }\n', "fn f(x: u8) -> u8 {"),
}
CODE = {
    "project-a": (
        "a.ts",
        "/** About it. */\nexport class Shop {\n  // opens\n  open(): number {\n    return 1;\n  }\n}\n",
        "open(): number {\n  return 2;\n}",
        "/** About it. */\nexport class Shop {\n  // opens\n  open(): number {\n    return 2;\n  }\n}\n",
        "close(): void {}",
        "  // opens\n  open(): number {\n    return 1;\n  }\n\n  close(): void {}\n}\n",
    ),
    "project-b": (
        "b.py",
        "class Shop:\n    # opens\n    @property\n    def open(self):\n        return 1\n",
        "def open(self):\n    return 2",
        "class Shop:\n    # opens\n    @property\n    def open(self):\n        return 2\n",
        "def close(self): ...",
        "    # opens\n    @property\n    def open(self):\n        return 1\n\n    def close(self): ...\n",
    ),
    "project-c": (
        "c.rs",
        "struct Shop;\n\nimpl Shop {\n    /// opens\n    #[inline]\n    fn open(&self) -> u8 {\n        1\n    }\n}\n",
        "fn open(&self) -> u8 {\n    2\n}",
        "struct Shop;\n\nimpl Shop {\n    /// opens\n    #[inline]\n    fn open(&self) -> u8 {\n        2\n    }\n}\n",
        "fn close(&self) {}",
        "    fn open(&self) -> u8 {\n        1\n    }\n\n    fn close(&self) {}\n}\n",
    ),
}


def put(file: Path, text: str) -> None:
    """Write a file that belongs to the project's user."""
    file.write_bytes(text.encode())
    owner = file.parent.stat()
    os.chown(file, owner.st_uid, owner.st_gid)


@pytest.mark.parametrize("project", sorted(UNFORMATTED))
async def test_format_file_is_one_edit_that_undo_reverts_byte_for_byte(
    client: Client, scratch: Callable[[str], Path], project: str
) -> None:
    name, unformatted, line = UNFORMATTED[project]
    file, path = scratch(project) / name, f"{project}/scratch-e2e/{name}"
    put(file, unformatted)
    preview = await call(client, "format_file", path=path, preview=True)
    assert file.read_bytes() == unformatted.encode()
    done = await call(client, "format_file", path=path)
    assert done["files"][0]["diff"] == preview["files"][0]["diff"]
    data = file.read_bytes()
    assert line in data.decode().splitlines()
    assert data.count(b"\r\n") == (data.count(b"\n") if "\r\n" in unformatted else 0)
    assert done["files"][0]["hash"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (await call(client, "format_file", path=path))["files"] == []  # it is formatted already
    await call(client, "undo_edit", edit_id=done["edit_id"])
    assert file.read_bytes() == unformatted.encode()


async def test_format_file_fails_if_the_file_has_a_syntax_error(client: Client, scratch: Callable[[str], Path]) -> None:
    put(scratch("project-c") / "c.rs", "fn f( {\n")
    error = await refused(client, "format_file", path="project-c/scratch-e2e/c.rs")
    assert (error["code"], "syntax error" in error["message"]) == ("not_complete", True)


async def test_with_format_on_write_an_edit_includes_its_formatting(
    client: Client, scratch: Callable[[str], Path]
) -> None:
    directory, path = scratch("project-c"), "project-c/scratch-e2e/new.rs"
    answer = await call(client, "write_file", path=path, content=UNFORMATTED["project-c"][1])
    text = (directory / "new.rs").read_text()
    assert UNFORMATTED["project-c"][2] in text.splitlines()
    assert answer["hash"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert "formatting" not in answer
    edited = await call(client, "edit_file", path=path, edits=[{"old_text": "u8 {", "new_text": "u8 { let y  =1;"}])
    assert "    let y = 1;" in (directory / "new.rs").read_text().splitlines()
    await call(client, "undo_edit", edit_id=edited["edit_id"])
    assert (directory / "new.rs").read_text() == text
    await call(client, "undo_edit", edit_id=answer["edit_id"])
    assert not (directory / "new.rs").exists()


async def test_with_format_on_write_a_file_that_cannot_be_formatted_is_written_and_the_answer_says_so(
    client: Client, scratch: Callable[[str], Path]
) -> None:
    directory = scratch("project-c")
    broken = await call(client, "write_file", path="project-c/scratch-e2e/broken.rs", content="fn f( {\n")
    assert (directory / "broken.rs").read_text() == "fn f( {\n"
    assert "syntax error" in broken["formatting"]
    silent = await call(client, "write_file", path="project-c/scratch-e2e/notes.txt", content="a  b\n")
    assert "formatting" not in silent
    elsewhere = await call(client, "write_file", path="project-a/scratch-e2e/a.ts", content="let  x = 1\n")
    assert "formatting" not in elsewhere
    await call(client, "undo_edit", edit_id=elsewhere["edit_id"])


@pytest.mark.parametrize("project", sorted(CODE))
async def test_replace_symbol_and_insert_at_symbol_edit_and_are_undone(
    client: Client, scratch: Callable[[str], Path], project: str
) -> None:
    name, before, new, after, more, end = CODE[project]
    file, path = scratch(project) / name, f"{project}/scratch-e2e/{name}"
    put(file, before)
    seen = (await call(client, "read_file", path=path))["hash"]
    done = await call(client, "replace_symbol", path=path, symbol="Shop/open", content=new, expected_hash=seen)
    assert file.read_text() == after
    assert (await refused(client, "replace_symbol", path=path, symbol="open", content=new, expected_hash=seen))[
        "code"
    ] == "conflict"
    await call(client, "undo_edit", edit_id=done["edit_id"])
    assert file.read_text() == before
    done = await call(client, "insert_at_symbol", path=path, symbol="Shop/open", content=more, position="after")
    assert file.read_text().endswith(end)
    await call(client, "undo_edit", edit_id=done["edit_id"])
    assert file.read_text() == before
    assert (await refused(client, "replace_symbol", path=path, symbol="Shop/shut", content=new))["code"] == (
        "no_such_symbol"
    )


async def test_a_code_action_is_listed_previewed_applied_and_undone(
    client: Client, scratch: Callable[[str], Path]
) -> None:
    file, path = scratch("project-c") / "c.rs", "project-c/scratch-e2e/c.rs"
    before = "struct Shop;\n\nimpl Shop {\n    fn open(&self) -> u8 {\n        1\n    }\n}\n"
    put(file, before)
    place = {"path": path, "symbol": "Shop/open"}
    listed = await call(client, "code_actions", **place)
    action = next(one for one in listed["actions"] if "documentation" in one["title"])
    assert action["server"] == "rust-analyzer"
    preview = await call(client, "code_actions", **place, apply=action["id"], preview=True)
    assert "///" in preview["files"][0]["diff"]
    assert file.read_text() == before
    done = await call(client, "code_actions", **place, apply=action["id"])
    assert "    ///" in file.read_text()
    assert done["title"] == action["title"]
    error = await refused(client, "code_actions", **place, apply=action["id"])
    assert error["code"] == "no_such_action"  # it was for the text before
    await call(client, "undo_edit", edit_id=done["edit_id"])
    assert file.read_text() == before
