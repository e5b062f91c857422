"""Writing one file: as a whole or not at all, with all its metadata, and never over somebody else's change."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from codebuddy.files.text import TextEdit, apply_edits, content_hash
from codebuddy.hub.edits import disk
from codebuddy.tool import ALL_SCOPES, Principal, ToolError
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio

NOBODY = 65534


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def replace(old: str, new: str, path: str = "p/a") -> dict[str, Any]:
    return {"path": path, "edits": [{"old_text": old, "new_text": new}]}


# What is kept


async def test_a_new_file_gets_ordinary_permissions_whatever_the_umask(p: Path, client: ToolClient) -> None:
    before = os.umask(0o077)
    try:
        await client("write_file", path="p/d/a", content="A")
        await client("write_file", path="p/run.sh", content="#!", mode="0755")
    finally:
        os.umask(before)
    assert stat.S_IMODE((p / "d" / "a").stat().st_mode) == 0o644
    assert stat.S_IMODE((p / "d").stat().st_mode) == 0o755
    assert stat.S_IMODE((p / "run.sh").stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755, 0o4755, 0o2755])
async def test_mode_is_kept(p: Path, client: ToolClient, mode: int) -> None:
    (p / "a").write_text("A")
    (p / "a").chmod(mode)
    answer = await client("write_file", path="p/a", content="B")
    assert "mode" not in answer
    assert stat.S_IMODE((p / "a").stat().st_mode) == mode


async def test_a_mode_that_is_asked_for_is_set_even_when_the_content_stays(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("A")
    answer = await client("write_file", path="p/a", content="A", mode="755")
    assert (answer["mode"], answer["diff"], answer["created"]) == ("0755", "", False)
    assert stat.S_IMODE((p / "a").stat().st_mode) == 0o755
    await client("undo_edit", edit_id=answer["edit_id"])
    assert stat.S_IMODE((p / "a").stat().st_mode) == 0o644


async def test_owner_and_extended_attributes_are_kept(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("A")
    if os.geteuid() == 0:
        os.chown(p / "a", NOBODY, NOBODY)
    owner = (p / "a").stat().st_uid
    try:
        os.setxattr(p / "a", "user.note", b"kept")
    except OSError as error:
        assert error.errno == errno.ENOTSUP  # noqa: PT017  the file system has none to keep
    attributes = os.listxattr(p / "a")
    await client("write_file", path="p/a", content="B")
    assert ((p / "a").stat().st_uid, os.listxattr(p / "a")) == (owner, attributes)


async def test_the_target_of_a_link_is_written_and_the_link_stays(p: Path, client: ToolClient) -> None:
    (p / "real").mkdir()
    (p / "real" / "a").write_text("A")
    (p / "link").symlink_to("real/a")
    (p / "new").symlink_to("real/created")
    answer = await client("edit_file", **replace("A", "B", "p/link"))
    assert (answer["path"], client.told) == ("p/link", [("p", ["real/a"])])
    assert "+++ b/p/link\n" in answer["diff"]
    await client("write_file", path="p/new", content="N")
    assert (p / "link").is_symlink()
    assert (p / "real" / "a").read_text() == "B"
    assert (p / "real" / "created").read_text() == "N"


async def test_all_names_of_a_hard_link_have_the_new_content_and_the_answer_says_so(
    p: Path, client: ToolClient
) -> None:
    (p / "a").write_text("A")
    os.link(p / "a", p / "b")
    answer = await client("write_file", path="p/a", content="B")
    assert answer["hard_links"]
    assert (p / "b").read_text() == "B"
    assert (p / "a").stat().st_ino == (p / "b").stat().st_ino
    edited = await client("apply_workspace_edit", changes=[{"path": "p/b", "content": "C"}])
    assert edited["files"][0]["hard_links"]
    assert (p / "a").read_text() == "C"


async def test_writing_the_same_content_is_not_an_edit(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("A")
    before = (p / "a").stat()
    answer = await client("write_file", path="p/a", content="A")
    assert answer == {"path": "p/a", "hash": content_hash(b"A"), "diff": "", "created": False}
    assert (p / "a").stat() == before
    assert client.told == []
    assert (await client("list_edits"))["edits"] == []


# What fails leaves no trace


async def test_missing_parents_are_created_and_none_is_left_when_the_write_fails(p: Path, client: ToolClient) -> None:
    await client("write_file", path="p/x/y/a", content="A")
    assert names(p) == ["x", "x/y", "x/y/a"]
    error = await client.refused("write_file", path="p/x/new/b", content="B", expected_hash=content_hash(b"other"))
    assert (error.code, error.path) == ("conflict", "p/x/new/b")
    error = await client.refused("edit_file", **replace("A", "B", "p/x/new/b"))
    assert (error.code, error.path) == ("not_found", "p/x/new/b")
    error = await client.refused("write_file", path="p/x/y/a/b", content="B")
    assert error.code == "not_a_directory"
    assert names(p) == ["x", "x/y", "x/y/a"]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let writes beyond a size fail, as on a full disk (EFBIG in place of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_the_old_files_and_nothing_else(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("old")
    large = "x" * 200_000
    changes = [{"path": "p/b", "content": "small"}, {"path": "p/d/c", "content": large}]
    with file_size_limit(100_000):
        assert (await client.refused("write_file", path="p/a", content=large)).code == "disk_full"
        assert (await client.refused("apply_workspace_edit", changes=changes)).code == "disk_full"
    assert snapshot(p) == {"a": ((p / "a").stat().st_mode, b"old")}
    await client("write_file", path="p/a", content=large)
    assert (p / "a").read_text() == large


@pytest.mark.parametrize("step", ["create_file", "set_attributes", "sync", "append", "exchange"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
async def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    (p / "a").write_text("old")
    monkeypatch.setattr(disk, step, fail)
    error = await client.refused("write_file", path="p/a", content="new")
    monkeypatch.undo()
    assert error.code in ({"journal_failed"} if step == "append" else {"io_error", "disk_full"})
    assert names(p) == ["a"]
    assert (p / "a").read_text() == "old"
    assert client.told == []
    assert (await client("list_edits"))["edits"] == []


async def test_a_read_only_file_is_refused_though_its_directory_would_allow_it(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("A")
    (p / "a").chmod(0o444)
    assert (await client.refused("write_file", path="p/a", content="B")).code == "read_only"
    assert (p / "a").read_text() == "A"


async def test_too_large_content_is_refused(p: Path, client: ToolClient) -> None:
    assert (await client.refused("write_file", path="p/a", content="x" * (4 * 2**20 + 1))).code == "too_large"
    assert names(p) == []


# Others who write


@pytest.mark.parametrize(
    ("content", "expected", "passes"),
    [
        ("A", content_hash(b"A"), True),
        ("A", content_hash(b"B"), False),
        ("A", "absent", False),
        (None, "absent", True),
        (None, content_hash(b"A"), False),
    ],
)
async def test_expected_hash_decides(
    p: Path, client: ToolClient, content: str | None, expected: str, passes: bool
) -> None:
    if content is not None:
        (p / "a").write_text(content)
    if passes:
        assert (await client("write_file", path="p/a", content="new", expected_hash=expected))["edit_id"]
        return
    error = await client.refused("write_file", path="p/a", content="new", expected_hash=expected)
    assert (error.code, error.path) == ("conflict", "p/a")
    assert ((p / "a").read_text() if content is not None else None) == content
    assert names(p) == (["a"] if content else [])


@pytest.mark.parametrize("exists", [True, False])
async def test_of_concurrent_writers_with_one_expected_hash_exactly_one_wins(
    p: Path, client: ToolClient, exists: bool
) -> None:
    if exists:
        (p / "a").write_text("start")
    expected = content_hash(b"start") if exists else "absent"
    outcomes: list[str] = []

    async def write(number: int) -> None:
        try:
            await client("write_file", path="p/a", content=str(number), expected_hash=expected)
            outcomes.append(f"won {number}")
        except ToolError as error:
            outcomes.append(error.code)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(write, number)
    assert sorted(outcomes)[:7] == ["conflict"] * 7
    assert f"won {(p / 'a').read_text()}" in outcomes
    assert names(p) == ["a"]


@pytest.mark.parametrize("link", [False, True])
async def test_no_change_of_concurrent_editors_is_lost(
    p: Path, client: ToolClient, link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_long(content: str, edits: Sequence[TextEdit]) -> str:
        time.sleep(0.003)  # so that all who read now read the same
        return apply_edits(content, edits)

    monkeypatch.setattr("codebuddy.hub.tools.edits.apply_edits", take_long)
    (p / "a").write_text("end\n")
    (p / "link").symlink_to("a")

    async def add(number: int) -> None:
        path = "p/link" if link and number % 2 else "p/a"
        await client("edit_file", **replace("end\n", f"{number}\nend\n", path))

    async with anyio.create_task_group() as group:
        for number in range(6 if link else 60):
            group.start_soon(add, number)
    assert sorted(map(int, (p / "a").read_text().split()[:-1])) == list(range(6 if link else 60))


class Interference:
    """Changes a file whenever an edit has read it and not yet written it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *interferences: Any) -> None:
        self.left, self.count = list(interferences), 0
        monkeypatch.setattr("codebuddy.hub.tools.edits.apply_edits", self)

    def __call__(self, content: str, edits: Sequence[TextEdit]) -> str:
        self.count += 1
        if self.left:
            self.left.pop(0)()
        return apply_edits(content, edits)


async def test_a_write_from_a_spoke_between_reading_and_writing_is_not_overwritten(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (p / "a").write_text("one\n")
    Interference(
        monkeypatch,
        lambda: (p / "a").write_text("two\n"),
        lambda: os.replace(_beside(p / "a", "three\n"), p / "a"),
    )
    await client("edit_file", **replace("\n", "\nmine\n"))
    assert (p / "a").read_text() == "three\nmine\n"


def _beside(path: Path, content: str) -> Path:
    other = path.with_name("other")
    other.write_text(content)
    return other


async def test_a_write_from_a_spoke_under_an_expected_hash_is_a_conflict(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (p / "a").write_text("one")
    Interference(monkeypatch, lambda: (p / "a").write_text("two"))  # same size, same inode, within a tick of the clock
    error = await client.refused("edit_file", **replace("one", "mine"), expected_hash=content_hash(b"one"))
    assert error.code == "conflict"
    assert (p / "a").read_text() == "two"


async def test_a_constantly_changing_file_is_given_up(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (p / "a").write_text("0 x")
    interferences = [lambda number=number: (p / "a").write_text(f"{number} x") for number in range(1, 100)]
    interference = Interference(monkeypatch, *interferences)
    error = await client.refused("edit_file", **replace("x", "mine"))
    assert (error.code, error.path, interference.count) == ("changed_meanwhile", "p/a", 8)
    assert (p / "a").read_text() == "8 x"


async def test_a_link_that_is_put_in_place_of_the_file_is_not_written_through(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plant() -> None:
        (p / "a").unlink()
        (p / "a").symlink_to("../secret")

    (p.parent / "secret").write_text("secret\n")
    (p / "a").write_text("A")
    Interference(monkeypatch, plant)
    assert (await client.refused("edit_file", **replace("A", "mine"))).code == "outside_project"
    assert (p.parent / "secret").read_text() == "secret\n"


async def test_readers_see_the_old_content_or_the_new_and_nothing_else(p: Path, client: ToolClient) -> None:
    contents = {chr(65 + number) * 100_000 for number in range(8)}
    (p / "a").write_text("A" * 100_000)
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add((p / "a").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        for content in sorted(contents):
            await client("write_file", path="p/a", content=content)
    stop.set()
    reader.join()
    assert seen <= contents


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
async def test_a_file_system_that_can_neither_exchange_nor_promise_a_new_name_still_works(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk, "_rename_new", refuse)
    monkeypatch.setattr(disk, "_exchange", refuse)
    await client("write_file", path="p/a", content="A")
    await client("write_file", path="p/a", content="B")
    await client("move_path", source="p/a", target="p/b")
    assert snapshot(p) == {"b": ((p / "b").stat().st_mode, b"B")}


# Preview, telling, cancellation


async def test_a_preview_answers_the_same_and_writes_nothing(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("one\n")
    before = snapshot(p)
    for name, arguments in [
        ("edit_file", replace("one", "two")),
        ("write_file", {"path": "p/new/b", "content": "b\n", "mode": "0755"}),
        ("move_path", {"source": "p/a", "target": "p/d/e"}),
        ("delete_path", {"path": "p/a"}),
        ("create_directory", {"path": "p/d/e"}),
        ("apply_workspace_edit", {"changes": [{"path": "p/a", "content": "x"}, {"path": "p/a", "delete": True}]}),
    ]:
        shown = await client(name, **arguments, preview=True)
        assert shown.pop("preview")
        assert "edit_id" not in shown
        assert snapshot(p) == before
        assert "nothing was written" in await client.text(name, **arguments, preview=True)
        if name != "apply_workspace_edit":
            done = await client(name, **arguments)
            await client("undo_edit", edit_id=done.pop("edit_id"))
            assert done == shown
            assert snapshot(p) == before
    assert client.told != []
    error = await client.refused("edit_file", **replace("one", "2"), preview=True, expected_hash=content_hash(b"x"))
    assert error.code == "conflict"


async def test_spokes_are_notified_before_a_write_is_answered_unless_nothing_changed(
    p: Path, client: ToolClient
) -> None:
    await client("write_file", path="p/src/a", content="x")
    assert client.told == [("p", ["src/a"])]
    await client("write_file", path="p/src/a", content="x")
    await client("edit_file", **replace("x", "y", "p/src/a"))
    assert client.told[1:] == [("p", ["src/a"])]
    await client("move_path", source="p/src/a", target="q/b")
    assert sorted(client.told[2:]) == [("p", ["src/a"]), ("q", ["b"])]
    await client("move_path", source="q/b", target="q/c", preview=True)
    assert len(client.told) == 4


async def test_the_spokes_of_all_projects_are_notified_concurrently(p: Path, client: ToolClient) -> None:
    together = {"p": anyio.Event(), "q": anyio.Event()}

    async def tell(project: str, _paths: list[str]) -> None:
        together[project].set()
        for event in together.values():
            await event.wait()

    client.on_tell = tell
    changes = [{"path": "p/a", "content": "a"}, {"path": "q/b", "content": "b"}]
    with anyio.fail_after(20):
        await client("apply_workspace_edit", changes=changes)


async def test_very_many_paths_are_announced_in_several_messages(
    client: ToolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codebuddy.hub.edits.editor._PATHS_AT_ONCE", 2)
    changes = [{"path": f"p/f{number}", "content": ""} for number in range(5)]
    await client("apply_workspace_edit", changes=changes)
    assert client.told == [("p", ["f0", "f1"]), ("p", ["f2", "f3"]), ("p", ["f4"])]


async def test_a_failed_notification_does_not_fail_the_write(p: Path, client: ToolClient) -> None:
    async def fail(_project: str, _paths: list[str]) -> None:
        raise RuntimeError("no spoke")

    client.on_tell = fail
    assert (await client("write_file", path="p/a", content="x"))["edit_id"]
    assert (p / "a").read_text() == "x"


@pytest.mark.parametrize("tool", ["write_file", "apply_workspace_edit", "undo_edit"])
async def test_a_cancelled_write_is_finished_and_announced(
    p: Path, client: ToolClient, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    (p / "a").write_text("old")
    edit = (await client("write_file", path="p/a", content="start"))["edit_id"]
    client.told.clear()
    begun, go_on = threading.Event(), threading.Event()
    apply = client.engine.apply

    def slow(*arguments: Any, **options: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return apply(*arguments, **options)

    monkeypatch.setattr(client.engine, "apply", slow)
    calls: dict[str, dict[str, Any]] = {
        "write_file": {"path": "p/a", "content": "old"},
        "apply_workspace_edit": {"changes": [{"path": "p/a", "content": "old"}]},
        "undo_edit": {"edit_id": edit},
    }
    async with anyio.create_task_group() as group:

        async def write() -> None:
            await client(tool, **calls[tool])

        group.start_soon(write)
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()
        go_on.set()
    assert (p / "a").read_text() == "old"
    assert client.told == [("p", ["a"])]


# Other tools


async def test_create_directory_creates_what_is_missing_and_leaves_what_is_there(p: Path, client: ToolClient) -> None:
    made = await client("create_directory", path="p/a/b")
    assert made == {"path": "p/a/b", "created": True, "edit_id": made["edit_id"]}
    assert await client("create_directory", path="p/a/b") == {"path": "p/a/b", "created": False}
    assert await client("create_directory", path="p") == {"path": "p", "created": False}
    (p / "f").write_text("")
    assert (await client.refused("create_directory", path="p/f")).code == "already_exists"
    await client("undo_edit", edit_id=made["edit_id"])
    assert names(p) == ["f"]


async def test_move_path_moves_files_directories_and_links_themselves(p: Path, client: ToolClient) -> None:
    (p / "d").mkdir()
    (p / "d" / "f").write_text("f")
    (p / "out").symlink_to("../../journal")
    before = snapshot(p.parent)
    moved = await client("move_path", source="p/d/f", target="p/new/g")
    assert moved["files"] == [
        {
            "path": "p/new/g",
            "action": "moved",
            "from": "p/d/f",
            "hash": content_hash(b"f"),
            "before_hash": content_hash(b"f"),
        }
    ]
    link = await client("move_path", source="p/out", target="p/link")
    assert link["files"][0]["type"] == "link"
    assert (p / "link").readlink() == Path("../../journal")
    across = await client("move_path", source="p/new", target="q/new")
    assert [(file["path"], file["action"], file.get("type")) for file in across["files"]] == [
        ("p/new", "deleted", "directory"),
        ("p/new/g", "deleted", None),
        ("q/new", "created", "directory"),
        ("q/new/g", "created", None),
    ]
    for edit in (across, link, moved):
        await client("undo_edit", edit_id=edit["edit_id"])
    assert snapshot(p.parent) == before


async def test_move_path_refuses_what_would_be_lost(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("a")
    (p / "b").write_text("b")
    (p / "d").mkdir()
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"source": "p/a", "target": "p/b"}, "already_exists"),
        ({"source": "p/a", "target": "p/d", "overwrite": True}, "already_exists"),
        ({"source": "p/d", "target": "p/d/e"}, "invalid_path"),
        ({"source": "p/none", "target": "p/c"}, "not_found"),
        ({"source": "p", "target": "p/c"}, "invalid_path"),
        ({"source": "p/a", "target": "p"}, "invalid_path"),
        ({"source": "p/a", "target": "p/c", "expected_hash": content_hash(b"x")}, "conflict"),
    ]
    for arguments, code in refusals:
        assert (await client.refused("move_path", **arguments)).code == code
    assert names(p) == ["a", "b", "d"]
    answer = await client("move_path", source="p/a", target="p/b", overwrite=True)
    assert [(file["action"], file["path"]) for file in answer["files"]] == [("deleted", "p/b"), ("moved", "p/b")]
    await client("undo_edit", edit_id=answer["edit_id"])
    assert ((p / "a").read_text(), (p / "b").read_text()) == ("a", "b")


async def test_delete_path_deletes_and_undo_restores_everything(p: Path, client: ToolClient) -> None:
    (p / "d" / "e").mkdir(parents=True)
    (p / "d" / "e" / "run").write_bytes(b"\x7fELF\0")
    (p / "d" / "e" / "run").chmod(0o750)
    (p / "d" / "link").symlink_to("../../secret")
    (p / "d" / "text").write_text("one\n")
    before = snapshot(p)
    assert (await client.refused("delete_path", path="p/d")).code == "not_empty"
    assert (await client.refused("delete_path", path="p", recursive=True)).code == "invalid_path"
    assert (await client.refused("delete_path", path="p/d/text", expected_hash="absent")).code == "conflict"
    assert snapshot(p) == before
    answer = await client("delete_path", path="p/d", recursive=True)
    assert names(p) == []
    assert {file["path"]: file.get("diff") for file in answer["files"]} == {
        "p/d": None,
        "p/d/e": None,
        "p/d/e/run": None,
        "p/d/link": None,
        "p/d/text": "--- a/p/d/text\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n",
    }
    await client("undo_edit", edit_id=answer["edit_id"])
    assert snapshot(p) == before


async def test_a_directory_with_very_much_in_it_is_counted_and_not_listed(p: Path, client: ToolClient) -> None:
    (p / "d" / "e").mkdir(parents=True)
    for number in range(60):
        (p / "d" / "e" / f"f{number}").write_text("x\n")
    (p / "a").write_text("a")
    deletions = [{"path": "p/d", "delete": True, "recursive": True}, {"path": "p/a", "delete": True}]
    answer = await client("apply_workspace_edit", changes=deletions)
    assert [(file["path"], file.get("entries")) for file in answer["files"]] == [("p/a", None), ("p/d", 61)]
    assert answer["files_cut"] == 61
    listed = (await client("list_edits"))["edits"][0]
    assert (listed["files_cut"], len(listed["files"])) == (61, 2)
    undone = await client("undo_edit", edit_id=answer["edit_id"])
    assert [(file["path"], file.get("entries")) for file in undone["files"]] == [("p/a", None), ("p/d", 61)]
    assert "with all 61 in it" in await client.text("undo_edit", edit_id=undone["edit_id"], preview=True)


async def test_a_limited_token_reaches_no_other_project_by_any_path_of_a_change(p: Path, client: ToolClient) -> None:
    (p / "a").write_text("a")
    (p.parent / "q" / "b").write_text("b")
    before = snapshot(p.parent)
    client.principal = Principal("limited", frozenset({"p"}), ALL_SCOPES)
    mine = {"path": "p/a", "content": "changed"}
    for change in [
        {"path": "q/b", "content": "x"},
        {"path": "q/b", "delete": True},
        {"path": "q/b", "move_to": "p/b"},
        {"path": "p/a", "move_to": "q/c"},
    ]:
        error = await client.refused("apply_workspace_edit", changes=[mine, change])
        assert error.code == "unknown_project"
    assert (await client.refused("move_path", source="p/a", target="q/a")).code == "unknown_project"
    assert (await client.refused("move_path", source="q/b", target="p/b")).code == "unknown_project"
    assert snapshot(p.parent) == before
