"""The file tools as a client calls them: their answers, and every attack through each of them."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from codebuddy.files.confinement import open_without_links, openat2_beneath
from codebuddy.schemas.files import ReadResult
from codebuddy.tool import ALL_SCOPES, Principal, ToolError
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio


@pytest.fixture
def p(tmp_path: Path) -> Path:
    """The root of one of two projects with similar names; a file `secret` lies beside it and in the other."""
    fleet = tmp_path / "fleet"
    (fleet / "p-evil").mkdir(parents=True)
    (fleet / "p-evil" / "secret").write_text("secret\n")
    (fleet / "secret").write_text("secret\n")
    (fleet / "p").mkdir()
    return fleet / "p"


@pytest.fixture
def client(p: Path, tmp_path: Path) -> Iterator[ToolClient]:
    client = ToolClient(p.parent, tmp_path / "journal", ["p", "p-evil"])
    yield client
    client.close()


@pytest.fixture(params=[openat2_beneath, open_without_links])
def any_client(p: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ToolClient]:
    client = ToolClient(p.parent, tmp_path / "journal", ["p", "p-evil"], request.param)
    yield client
    client.close()


def calls_about(path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return calls of every tool that takes a path and follows links at its end."""
    place = {"line": 1, "column": 1, "end_line": 1, "end_column": 2, "new_text": "taken"}
    return [
        ("read_file", {"path": path}),
        ("list_directory", {"path": path}),
        ("write_file", {"path": path, "content": "taken\n"}),
        ("edit_file", {"path": path, "edits": [{"old_text": "secret", "new_text": "taken"}]}),
        ("apply_workspace_edit", {"changes": [{"path": path, "content": "taken"}]}),
        ("apply_workspace_edit", {"changes": [{"path": path, "edits": [place]}]}),
    ]


def calls_through(path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return calls of every tool that takes a path; of some of them only what is before the last name is followed."""
    return [
        *calls_about(path),
        ("create_directory", {"path": path}),
        ("delete_path", {"path": path}),
        ("move_path", {"source": path, "target": "p/taken"}),
        ("move_path", {"source": "p/mine", "target": path, "overwrite": True}),
        ("apply_workspace_edit", {"changes": [{"path": path, "move_to": "p/taken"}]}),
        ("apply_workspace_edit", {"changes": [{"path": "p/mine", "move_to": path, "overwrite": True}]}),
        ("apply_workspace_edit", {"changes": [{"path": path, "delete": True}]}),
    ]


# What the tools answer


async def test_the_tools_of_the_contract_are_there_with_their_scopes(client: ToolClient) -> None:
    assert {name: tool.scope for name, tool in client.tools.items()} == {
        "list_directory": "read",
        "find_files": "read",
        "read_file": "read",
        "search_text": "read",
        "write_file": "write",
        "edit_file": "write",
        "move_path": "write",
        "delete_path": "write",
        "create_directory": "write",
        "apply_workspace_edit": "write",
        "list_edits": "read",
        "undo_edit": "write",
    }


async def test_write_read_edit_read(p: Path, client: ToolClient) -> None:
    written = await client("write_file", path="p/src/a.txt", content="one\ntwo\n")
    assert written["created"]
    read = await client("read_file", path="p/src/a.txt")
    assert (read["content"], read["hash"], read["total_lines"]) == ("one\ntwo\n", written["hash"], 2)
    edited = await client(
        "edit_file",
        path="p/src/a.txt",
        edits=[{"old_text": "two", "new_text": "2"}],
        expected_hash=read["hash"],
    )
    assert edited["diff"] == "--- a/p/src/a.txt\n+++ b/p/src/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    assert (p / "src" / "a.txt").read_text() == "one\n2\n"
    again = await client("read_file", path="p/src/a.txt", start_line=2, end_line=2)
    assert (again["content"], again["hash"]) == ("2\n", edited["hash"])


async def test_a_line_longer_than_an_answer_is_read_as_the_answers_say(p: Path, client: ToolClient) -> None:
    text = "short\n" + "é" * 300_000 + "\nlast\n"
    (p / "a.min.js").write_text(text)
    pieces, ask = list[str](), dict[str, int]()
    while True:
        answer = ReadResult.model_validate(await client("read_file", path="p/a.min.js", **ask)).lean()
        pieces.append(answer["content"])
        if "message" not in answer:
            break
        ask = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", answer["message"])}
    assert "".join(pieces) == text
    assert len(pieces) == 4


async def test_what_was_read_and_written_back_is_the_same_bytes(p: Path, client: ToolClient) -> None:
    for data in (b"a\r\nb\r\n", b"a\rb\n\r\n", b"\xef\xbb\xbfa\r\n", "é\r\n".encode("utf-16"), b"no end", b""):
        (p / "a").write_bytes(data)
        content = (await client("read_file", path="p/a"))["content"]
        await client("write_file", path="p/a", content=content)
        assert (p / "a").read_bytes() == data


async def test_an_edit_in_lf_keeps_crlf_mark_and_encoding(p: Path, client: ToolClient) -> None:
    (p / "a").write_bytes("\ufeffone\r\ntwo\r\n".encode("utf-16-le"))
    await client("edit_file", path="p/a", edits=[{"old_text": "one\ntwo", "new_text": "1\n2\n3"}])
    assert (p / "a").read_bytes() == "\ufeff1\r\n2\r\n3\r\n".encode("utf-16-le")


async def test_find_and_search_cover_all_projects_or_those_that_are_named(p: Path, client: ToolClient) -> None:
    (p / "a.txt").write_text("a secret word\n")
    assert (await client("find_files", pattern="**"))["paths"] == ["p/a.txt", "p-evil/secret"]
    one = await client("search_text", pattern="secret", projects=["p"], context_lines=1)
    assert one["matches"] == [
        {
            "path": "p/a.txt",
            "line": 1,
            "column": 3,
            "end_line": 1,
            "end_column": 9,
            "line_text": "a secret word",
            "before": [],
            "after": [],
        }
    ]
    assert not one["truncated"]


@pytest.mark.parametrize("tool", ["find_files", "search_text"])
async def test_pages_go_over_projects(p: Path, client: ToolClient, tool: str) -> None:
    for number in range(5):
        (p / f"f{number}").write_text("secret\n")
    arguments = {"pattern": "*" if tool == "find_files" else "secret"}
    key = "paths" if tool == "find_files" else "matches"
    whole = (await client(tool, **arguments))[key]
    pieces, cursor = [], None
    for _ in range(20):
        page = await client(tool, **arguments, limit=2, **({"cursor": cursor} if cursor else {}))
        pieces += page[key]
        assert page["truncated"] == ("cursor" in page)
        if "cursor" not in page:
            break
        assert page["reason"] == "limit"
        cursor = page["cursor"]
    assert pieces == whole
    assert len(whole) == 6


@pytest.mark.parametrize("cursor", ["", "x", "!", "e30", "WyJ4Iix7fV0"])
async def test_an_invalid_cursor_is_refused(client: ToolClient, cursor: str) -> None:
    assert (await client.refused("find_files", pattern="*", cursor=cursor)).code == "invalid_cursor"


async def test_a_cursor_is_for_its_own_question_and_its_own_projects(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("")
    cursor = (await client("find_files", pattern="*", limit=1))["cursor"]
    assert (await client.refused("find_files", pattern="**", cursor=cursor)).code == "invalid_cursor"
    client.principal = Principal("test", frozenset({"p"}), ALL_SCOPES)
    assert (await client.refused("find_files", pattern="*", cursor=cursor)).code == "unknown_project"


async def test_an_unavailable_project_is_reported_and_the_others_are_searched(p: Path, client: ToolClient) -> None:
    (p.parent / "p-evil" / "secret").unlink()
    (p.parent / "p-evil").rmdir()
    (p / "a").write_text("x")
    answer = await client("search_text", pattern="x")
    assert (answer["truncated"], answer["reason"]) == (True, "project_unavailable")
    assert answer["unavailable"][0]["project"] == "p-evil"
    assert len(answer["matches"]) == 1
    assert (await client.refused("search_text", pattern="x", projects=["p-evil"])).code == "project_unavailable"


async def test_a_tree_is_listed_to_its_depth_with_types_and_sizes(p: Path, client: ToolClient) -> None:
    (p / "d" / "e").mkdir(parents=True)
    (p / "d" / "f").write_text("12345")
    (p / ".git").mkdir()
    answer = await client("list_directory", path="p", depth=2)
    assert answer["entries"] == [
        {"path": "p/d", "type": "directory"},
        {"path": "p/d/e", "type": "directory"},
        {"path": "p/d/f", "type": "file", "size": 5},
    ]
    assert (await client("list_directory", path="p"))["entries"] == [{"path": "p/d", "type": "directory"}]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", {"path": "p/a", "start_line": 0}),
        ("read_file", {"path": "p/a", "line": 1}),
        ("write_file", {"path": "p/a"}),
        ("write_file", {"path": "p/a", "content": "", "mode": "4755"}),
        ("write_file", {"path": "p/a", "content": "", "mode": "rwx"}),
        ("write_file", {"path": "p/a", "content": "", "expected_hash": "abc"}),
        ("edit_file", {"path": "p/a", "edits": []}),
        ("edit_file", {"path": "p/a", "edits": [{"old_text": "", "new_text": ""}]}),
        ("edit_file", {"path": "p/a", "edits": [{"old_text": "a", "new_text": "", "all": True}]}),
        ("search_text", {"pattern": ""}),
        ("search_text", {"pattern": "x" * 1001}),
        ("find_files", {"pattern": "*", "projects": []}),
    ],
)
async def test_bad_arguments_are_refused_and_name_the_argument(
    client: ToolClient, name: str, arguments: dict[str, Any]
) -> None:
    assert (await client.refused(name, **arguments)).code == "invalid_arguments"


# Attacks


@pytest.mark.parametrize(
    "path", ["p/../p-evil/secret", "p/./../secret", "../secret", "p/../../secret", "p/..", "p/a/../../secret"]
)
async def test_no_tool_climbs_out_by_dots(p: Path, any_client: ToolClient, path: str) -> None:
    (p / "mine").write_text("mine")
    before = snapshot(p.parent)
    for name, arguments in calls_through(path):
        assert (await any_client.refused(name, **arguments)).code == "outside_project"
    assert snapshot(p.parent) == before


@pytest.mark.parametrize("project", ["p-evil", "p-", "q", "P", "*", ""])
async def test_a_token_for_one_project_reaches_no_other_with_a_similar_name(
    p: Path, client: ToolClient, project: str
) -> None:
    client.principal = Principal("test", frozenset({"p"}), ALL_SCOPES)
    for name, arguments in calls_through(f"{project}/secret"):
        error = await client.refused(name, **arguments)
        assert error.code == ("unknown_project" if project else "invalid_path")
        assert "p-evil" not in error.message.replace(repr(project), "")
    for name in ("find_files", "search_text"):
        assert (await client.refused(name, pattern="secret", projects=[project])).code == "unknown_project"
        assert "p-evil" not in json.dumps(await client(name, pattern="secret"))


LINKS: dict[str, str] = {
    "absolute": "{outside}/secret",
    "relative": "../secret",
    "sibling": "../p-evil/secret",
    "chained": "hop/one",
    "root": "/proc/self/root{outside}/secret",
    "cwd": "/proc/self/cwd",
    "passwd": "/etc/passwd",
    "dangling": "../created",
    "dangling absolute": "{outside}/created",
    "directory": "../p-evil",
    "upward": "..",
}


def plant(p: Path, link: str) -> None:
    (p / "hop").mkdir()
    (p / "hop" / "one").symlink_to("two")
    (p / "hop" / "two").symlink_to("../../secret")
    (p / "x").symlink_to(LINKS[link].format(outside=p.parent))


@pytest.mark.parametrize("link", LINKS)
async def test_no_tool_follows_a_link_out_of_the_project(p: Path, any_client: ToolClient, link: str) -> None:
    plant(p, link)
    (p / "mine").write_text("mine")
    before = snapshot(p.parent)
    through = [*calls_through("p/x/secret"), *calls_through("p/x/new/file")]
    for path, calls in (("p/x", calls_about("p/x")), ("through p/x", through)):
        for name, arguments in calls:
            error = await any_client.refused(name, **arguments)
            assert error.code in {"outside_project", "link_not_followed"}, (name, path)
            assert "root:" not in error.message
    found = await any_client("find_files", pattern="**/secret*", projects=["p"], include_ignored=True)
    assert found["paths"] == []
    searched = await any_client("search_text", pattern="secret|root:", regex=True, projects=["p"])
    assert searched["matches"] == []
    listed = await any_client("list_directory", path="p", depth=9)
    assert {"path": "p/x", "type": "link"} in listed["entries"]
    assert not any(entry["path"].startswith("p/x/") for entry in listed["entries"])
    assert snapshot(p.parent) == before


def exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step (renameat2(2), RENAME_EXCHANGE); say whether both were there."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.renameat2(-100, os.fsencode(first), -100, os.fsencode(second), 2) == 0)


class Swapper:
    """Exchanges ``p/x`` with a link out of the project, all the time; puts back what a tool took away.

    Args:
        p: the project.
        make: makes ``p/x``.
        target: of the link.
    """

    def __init__(self, p: Path, make: Callable[[Path], None], target: str) -> None:
        self.p, self.make, self.target = p, make, target
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def put(self) -> None:
        if not os.path.lexists(self.p / "x"):
            self.make(self.p / "x")
        if not (self.p / "x").is_symlink() and not (self.p / "evil").is_symlink():
            (self.p / "again").symlink_to(self.target)
            os.rename(self.p / "again", self.p / "evil")

    def run(self) -> None:
        while not self.stop.is_set():
            if not exchange(self.p / "x", self.p / "evil") or not os.path.lexists(self.p / "x"):
                with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                    self.put()

    def __enter__(self) -> None:
        self.put()
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def _make_file(path: Path) -> None:
    """Make a file, following no link that is put there meanwhile."""
    with path.open("x") as file:
        file.write("inside\n")


def _make_directory(path: Path) -> None:
    made = path.with_name("made")
    made.mkdir(exist_ok=True)
    (made / "secret").write_text("inside\n")
    os.rename(made, path)


@pytest.mark.parametrize("calls", [calls_about, calls_through])
@pytest.mark.parametrize("what", ["file", "parent"])
async def test_links_swapped_in_during_the_call_give_nothing_to_any_tool(
    p: Path, any_client: ToolClient, what: str, calls: Callable[[str], list[tuple[str, dict[str, Any]]]]
) -> None:
    swapper = Swapper(p, _make_file, "../p-evil/secret") if what == "file" else Swapper(p, _make_directory, "../p-evil")
    path = "p/x" if what == "file" else "p/x/secret"
    answers, deadline = list[str](), time.monotonic() + 60
    with swapper:
        for number in itertools.count():
            # Until the link was met, for on a busy machine the swapper may have no turn for long.
            if number >= 25 and {"outside_project", "link_not_followed"} & set(answers):
                break
            assert time.monotonic() < deadline, "the race was not met"
            (p / "new").write_text("mine")
            os.replace(p / "new", p / "mine")
            with suppress(OSError):
                os.rename(p / "taken", p.parent / f"taken{number}")
            for name, arguments in [
                *calls(path),
                ("write_file", {"path": path, "content": f"inside {number}\n"}),
                ("search_text", {"pattern": "secret", "projects": ["p"]}),
            ]:
                try:
                    answers.append(json.dumps((await any_client(name, **arguments)).get("content", "")))
                except ToolError as error:
                    answers.append(error.code)
    assert not any("secret\\n" in answer for answer in answers)
    assert (p.parent / "p-evil" / "secret").read_text() == "secret\n"
    assert os.listdir(p.parent / "p-evil") == ["secret"]
    if calls is calls_about:
        # The others take names away: what they took by mistake stays under another name if its own was taken meanwhile.
        assert not [path for path in snapshot(p) if path.endswith(".tmp")]


Make = Callable[[Path], None]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path has room for 108 bytes only
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


def _binary(path: Path) -> None:
    path.write_bytes(b"\x7fELF\0\0secret")


@pytest.mark.parametrize(
    ("make", "codes"),
    [
        (_fifo, {"not_a_file"}),
        (_socket, {"not_a_file"}),
        (_device, {"outside_project", "link_not_followed"}),
        (_sparse, {"too_large"}),
        (_binary, {"binary_file"}),
        (Path.mkdir, {"is_a_directory"}),
    ],
)
async def test_no_tool_blocks_on_or_harms_special_files(
    p: Path, any_client: ToolClient, make: Make, codes: set[str]
) -> None:
    make(p / "x")
    before = (p / "x").lstat()
    with anyio.fail_after(60):
        for name, arguments in calls_about("p/x"):
            if name != "list_directory":
                assert (await any_client.refused(name, **arguments)).code in codes, name
        if make is not Path.mkdir:
            error = await any_client.refused("list_directory", path="p/x")
            assert error.code in {"not_a_directory", "outside_project", "link_not_followed"}
        assert (await any_client("search_text", pattern="secret", projects=["p"]))["matches"] == []
        await any_client("find_files", pattern="**")
        assert len((await any_client("list_directory", path="p"))["entries"]) == 1
    after = (p / "x").lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)


@pytest.mark.parametrize(
    "raw", [b"new\nline", b"not-utf8-\xff", b"..foo", b"-rf", b"n" * 255, b"back\\xff", b"a;$(id)`id`", "é🦀".encode()]
)
async def test_legal_names_work_in_every_tool(p: Path, any_client: ToolClient, raw: bytes) -> None:
    (p / os.fsdecode(raw)).write_text("needle\n")
    [path] = (await any_client("find_files", pattern="*", projects=["p"]))["paths"]
    assert [m["path"] for m in (await any_client("search_text", pattern="needle"))["matches"]] == [path]
    assert (await any_client("list_directory", path="p"))["entries"] == [{"path": path, "type": "file", "size": 7}]
    read = await any_client("read_file", path=path)
    await any_client(
        "edit_file", path=path, edits=[{"old_text": "needle", "new_text": "2"}], expected_hash=read["hash"]
    )
    assert os.listdir(os.fsencode(p)) == [raw]
    assert (p / os.fsdecode(raw)).read_text() == "2\n"
    if len(raw) < 255:
        await any_client("write_file", path=path + "x", content="new")
        assert sorted(os.listdir(os.fsencode(p))) == sorted([raw, raw + b"x"])


async def test_a_name_that_is_too_long_is_refused_by_every_tool(any_client: ToolClient) -> None:
    for name, arguments in calls_through("p/" + "n" * 256):
        assert (await any_client.refused(name, **arguments)).code == "name_too_long"


async def test_an_abandoned_search_stops(p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(_root: Any, _query: Any, bounds: Any, _after: Any) -> Any:
        begun.set()
        assert bounds.stop.wait(30)
        ended.set()

    monkeypatch.setattr("codebuddy.hub.tools.files.search_text", endless)
    async with anyio.create_task_group() as group:

        async def search() -> None:
            await client("search_text", pattern="x", projects=["p"])

        group.start_soon(search)
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()
    assert await anyio.to_thread.run_sync(ended.wait, 30)
