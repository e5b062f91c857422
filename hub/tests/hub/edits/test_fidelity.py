"""An edit keeps modes, owners, extended attributes and links, and undo restores them."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from codebuddy.files.paths import WorkspacePath
from codebuddy.tool import ToolError

from .bench import Bench, path
from .scenarios import NEW, plant

Prepare = Callable[[Path], object]

ACCESS_LIST = "system.posix_acl_access"


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """Return an access list as the kernel has it: version 2, then (tag, permissions, id) of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ONE_MORE_READER = access_list(
    (0x01, 6, NOBODY), (0x02, 4, 1234), (0x04, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)
)


def attribute(name: str, value: bytes) -> Prepare:
    return lambda place: os.setxattr(place, name, value)


def owned(place: Path) -> None:
    os.chown(place, 1234, 1234)


def owned_and_set_id(place: Path) -> None:
    os.chown(place, 1234, 1234)
    place.chmod(0o6755)


PREPARATIONS: dict[str, Prepare] = {
    "mode 0600": lambda place: place.chmod(0o600),
    "mode 0755": lambda place: place.chmod(0o755),
    "mode 0666, which the umask would cut": lambda place: place.chmod(0o666),
    "mode 0200, which its owner may only write": lambda place: place.chmod(0o200),
    "set-user-id": lambda place: place.chmod(0o4755),
    "set-group-id": lambda place: place.chmod(0o2755),
    "sticky": lambda place: place.chmod(0o1644),
    "owner and group": owned,
    "owner and set-id": owned_and_set_id,
    "user attribute": attribute("user.origin", b"web\0\xff"),
    "empty attribute": attribute("user.empty", b""),
    "access list": attribute(ACCESS_LIST, ONE_MORE_READER),
}


@pytest.fixture(params=PREPARATIONS.values(), ids=PREPARATIONS)
def prepare(request: pytest.FixtureRequest, bench: Bench) -> Prepare:
    """Gives a file some property."""
    probe = bench.base / "probe"
    probe.write_bytes(b"")
    try:
        request.param(probe)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP):
            raise
        pytest.skip(f"this user or file system cannot do it: {error.strerror}")
    return request.param  # type: ignore[no-any-return]


def test_a_rewritten_file_keeps_its_metadata(bench: Bench, prepare: Prepare) -> None:
    file = bench.a / "file"
    file.write_bytes(b"old")
    prepare(file)
    before = bench.tree()["a/file"]
    outcome = bench.apply(lambda draft: draft.write(path("a/file"), NEW))
    assert bench.tree() == {"a/file": before._replace(content=NEW)}
    bench.undo(outcome.edit)
    assert bench.tree() == {"a/file": before}


def test_a_rewritten_file_keeps_its_hard_links_and_metadata(bench: Bench, prepare: Prepare) -> None:
    file = bench.a / "file"
    file.write_bytes(b"old")
    os.link(file, bench.a / "other")
    prepare(file)
    before, inode = bench.tree(), file.stat().st_ino
    outcome = bench.apply(lambda draft: draft.write(path("a/file"), NEW))
    assert outcome.hard_links == (path("a/file"),)
    assert file.stat().st_ino == inode == (bench.a / "other").stat().st_ino
    assert bench.tree() == {name: thing._replace(content=NEW) for name, thing in before.items()}
    bench.undo(outcome.edit)
    assert bench.tree() == before
    assert file.stat().st_ino == inode


def test_undo_restores_a_deleted_file_with_its_metadata(bench: Bench, prepare: Prepare) -> None:
    (bench.a / "file").write_bytes(b"old")
    prepare(bench.a / "file")
    before = bench.tree()
    outcome = bench.apply(lambda draft: draft.delete(path("a/file")))
    assert bench.tree() == {}
    bench.undo(outcome.edit)
    assert bench.tree() == before


def test_undo_restores_a_file_that_moved_to_another_project(bench: Bench, prepare: Prepare) -> None:
    (bench.a / "file").write_bytes(b"old")
    prepare(bench.a / "file")
    before = bench.tree()
    outcome = bench.apply(lambda draft: draft.move(path("a/file"), path("b/file")))
    moved = bench.tree()
    assert list(moved) == ["b/file"]
    assert moved["b/file"].content == b"old"
    assert moved["b/file"].mode & 0o777 == before["a/file"].mode & 0o777
    bench.undo(outcome.edit)
    assert bench.tree() == before


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


@AS_ROOT
def test_undo_restores_a_deleted_directory_tree(bench: Bench) -> None:
    plant(bench)
    inside = bench.a / "dir"
    (inside / "sub").chmod(0o2770)
    os.setxattr(inside / "sub", "user.kept", b"1")
    os.setxattr(inside, ACCESS_LIST, ONE_MORE_READER)
    for place in (inside, inside / "sub", inside / "in", inside / "sub/deep"):
        os.chown(place, 1234, 4321)
    os.chown(inside / "up", 1234, 4321, follow_symlinks=False)
    (inside / "sub").chmod(0o2770)
    (inside / "sub/deep").chmod(0o4711)
    before = bench.tree()
    outcome = bench.apply(lambda draft: draft.delete(path("a/dir"), recursive=True))
    assert not inside.exists()
    bench.undo(outcome.edit)
    assert bench.tree() == before


def test_a_moved_directory_keeps_its_inode(bench: Bench) -> None:
    plant(bench)
    inode = (bench.a / "dir").stat().st_ino
    outcome = bench.apply(lambda draft: draft.move(path("a/dir"), path("a/empty/moved")))
    assert (bench.a / "empty/moved").stat().st_ino == inode
    bench.undo(outcome.edit)
    assert (bench.a / "dir").stat().st_ino == inode


# Links ----------------------------------------------------------------------------------------------------------------


def test_a_file_is_edited_through_a_link_which_stays_a_link(bench: Bench) -> None:
    plant(bench)
    (bench.a / "chain").symlink_to("dir/../link")
    bench.apply(lambda draft: draft.write(path("a/chain"), b"new"))
    tree = bench.tree()
    assert tree["a/dir/in"].content == b"new"
    assert (tree["a/link"].kind, tree["a/link"].content) == ("link", b"dir/in")
    assert tree["a/chain"].kind == "link"


def test_writing_through_a_dangling_link_creates_its_target(bench: Bench) -> None:
    (bench.a / "link").symlink_to("made")
    outcome = bench.apply(lambda draft: draft.write(path("a/link"), b"new"))
    assert (bench.a / "made").read_bytes() == b"new"
    assert (bench.a / "link").is_symlink()
    bench.undo(outcome.edit)
    assert list(bench.tree()) == ["a/link"]


@pytest.mark.parametrize("target", ["../b/one", "../../outside", "/etc/passwd", "dir/../../b/one", "deeper"])
@pytest.mark.parametrize("name", ["a/out", "a/out/inside"])
def test_nothing_is_written_through_a_link_that_leaves_the_project(bench: Bench, target: str, name: str) -> None:
    plant(bench)
    (bench.a / "deeper").symlink_to("/tmp")
    (bench.a / "out").symlink_to(target)
    (bench.base.parent / "outside").write_bytes(b"secret")
    before, outside = bench.tree(), sorted(os.listdir(bench.base.parent))
    with pytest.raises(ToolError) as caught:
        bench.apply(lambda draft: draft.write(path(name), b"new"))
    assert caught.value.code in ("outside_project", "not_a_directory")
    assert bench.tree() == before
    assert sorted(os.listdir(bench.base.parent)) == outside
    assert (bench.base.parent / "outside").read_bytes() == b"secret"


def test_delete_move_and_undo_act_on_a_link_itself(bench: Bench) -> None:
    plant(bench)
    (bench.a / "out").symlink_to("/nowhere/at all")
    before = bench.tree()
    deleted = bench.apply(lambda draft: [draft.delete(path(name)) for name in ("a/link", "a/out", "a/dir/up")])
    assert bench.tree() == {name: thing for name, thing in before.items() if thing.kind != "link"}
    bench.undo(deleted.edit)
    assert bench.tree() == before
    moved = bench.apply(lambda draft: draft.move(path("a/out"), path("b/carried")))
    assert (bench.b / "carried").readlink() == Path("/nowhere/at all")
    bench.undo(moved.edit)
    assert bench.tree() == before


def test_two_paths_to_one_file_are_one_file_in_a_draft(bench: Bench) -> None:
    plant(bench)
    bench.apply(lambda draft: (draft.write(path("a/link"), b"1"), draft.write(path("a/dir/in"), b"2")))
    assert (bench.a / "dir/in").read_bytes() == b"2"


# New things -----------------------------------------------------------------------------------------------------------


def test_new_files_and_directories_have_ordinary_modes_whatever_the_umask(bench: Bench) -> None:
    umask = os.umask(0o077)
    try:
        bench.apply(
            lambda draft: (
                draft.write(path("a/new/file"), b""),
                draft.write(path("a/run"), b"", mode=0o755),
                draft.make_directory(path("a/made")),
            )
        )
    finally:
        os.umask(umask)
    modes = {name: thing.mode for name, thing in bench.tree().items()}
    assert modes == {"a/new": 0o755, "a/new/file": 0o644, "a/run": 0o755, "a/made": 0o755}


@AS_ROOT
def test_what_is_created_in_a_set_group_id_directory_gets_its_group_and_directories_the_bit(bench: Bench) -> None:
    (bench.a / "shared").mkdir()
    os.chown(bench.a / "shared", -1, 1234)
    (bench.a / "shared").chmod(0o2775)
    bench.apply(
        lambda draft: (
            draft.write(path("a/shared/file"), b""),
            draft.write(path("a/shared/new/file"), b""),
            draft.make_directory(path("a/shared/bare")),
        )
    )
    tree = bench.tree()
    assert {thing.owner[1] for thing in tree.values()} == {1234}
    assert {name for name, thing in tree.items() if thing.mode & 0o2000} == {
        "a/shared",
        "a/shared/new",
        "a/shared/bare",
    }


# Names and contents ---------------------------------------------------------------------------------------------------

NAMES = {
    "newline": b"one\ntwo",
    "tab and quotes": b"\t\"'`$(x)",
    "not UTF-8": b"caf\xe9 \xff\xfe",
    "255 bytes": b"n" * 255,
    "255 bytes of UTF-8": "ö".encode() * 127 + b"x",
    "backslash escape": rb"\xff",
    "leading dash and spaces": b"-rf  ",
    "hidden": b".codebuddy",
    "emoji": "📁".encode(),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_can_be_created_written_moved_deleted_and_restored(bench: Bench, name: bytes) -> None:
    name_ = os.fsdecode(name)
    there = WorkspacePath("a", (name_, name_))
    moved = WorkspacePath("b", (name_,))
    created = bench.apply(lambda draft: draft.write(there, b"1"))
    assert Path(os.fsdecode(bytes(bench.a) + b"/" + name), name_).read_bytes() == b"1"
    trees = [bench.tree()]
    edits = [created]
    for write in (
        lambda draft: draft.write(there, b"2"),
        lambda draft: draft.move(there, moved),
        lambda draft: draft.delete(moved),
    ):
        edits.append(bench.apply(write))
        trees.append(bench.tree())
    bench.restart()  # names survive the journal
    for edit, tree in zip(reversed(edits[1:]), reversed(trees[:-1]), strict=True):
        bench.undo(edit.edit)
        assert bench.tree() == tree


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"\r\n\r\n", b"\xef\xbb\xbfbom", b"\xff\xfea\0", b"no end", bytes(range(256)) * 4096],
    ids=["empty", "nul", "crlf", "bom", "utf-16", "no last newline", "a megabyte"],
)
def test_any_content_can_be_written_and_restored_exactly(bench: Bench, content: bytes) -> None:
    (bench.a / "file").write_bytes(content)
    outcome = bench.apply(lambda draft: (draft.write(path("a/file"), b"other"), draft.write(path("b/new"), content)))
    assert (bench.b / "new").read_bytes() == content
    bench.restart()
    bench.undo(outcome.edit)
    assert (bench.a / "file").read_bytes() == content
    assert list(bench.tree()) == ["a/file"]
