"""Replacing a file: whole or not at all, with everything that belongs to it, and never over somebody else's change."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from codebuddy.errors import ToolError
from codebuddy.workspace.confinement import ProjectRoot
from codebuddy.workspace.paths import WorkspacePath
from codebuddy.workspace.replacing import ABSENT, Change, Replacement, replace_file
from codebuddy.workspace.text import content_hash

NOBODY = 65534


def at(path: str) -> WorkspacePath:
    return WorkspacePath.parse(f"p/{path}")


def to(data: bytes) -> Change:
    return lambda _before: data


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_a_new_file_gets_ordinary_permissions_whatever_the_umask(directory: Path, any_root: ProjectRoot) -> None:
    before = os.umask(0o077)
    try:
        replace_file(any_root, at("a"), to(b"A"))
        replace_file(any_root, at("run.sh"), to(b"#!"), mode=0o755)
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / "a").stat().st_mode) == 0o644
    assert stat.S_IMODE((directory / "run.sh").stat().st_mode) == 0o755
    assert names(directory) == ["a", "run.sh"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755, 0o4755, 0o2755])
def test_mode_is_kept(directory: Path, root: ProjectRoot, mode: int) -> None:
    (directory / "a").write_text("A")
    (directory / "a").chmod(mode)
    replace_file(root, at("a"), to(b"B"))
    assert (directory / "a").read_bytes() == b"B"
    assert stat.S_IMODE((directory / "a").stat().st_mode) == mode


def test_a_mode_that_is_asked_for_is_set_even_when_the_content_stays(directory: Path, root: ProjectRoot) -> None:
    (directory / "a").write_text("A")
    done = replace_file(root, at("a"), to(b"A"), mode=0o755)
    assert done.written
    assert stat.S_IMODE((directory / "a").stat().st_mode) == 0o755


def test_extended_attributes_are_kept(directory: Path, root: ProjectRoot) -> None:
    (directory / "a").write_text("A")
    try:
        os.setxattr(directory / "a", "user.note", b"kept")
    except OSError as error:
        assert error.errno == errno.ENOTSUP  # noqa: PT017
        return  # the file system has none to keep
    replace_file(root, at("a"), to(b"B"))
    assert os.getxattr(directory / "a", "user.note") == b"kept"


def test_owner_and_group_are_kept_and_a_lost_owner_costs_the_set_uid_bit(
    directory: Path, root: ProjectRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def record(_fd: int, owner: int, group: int) -> None:
        asked.append((owner, group))
        raise PermissionError

    (directory / "a").write_text("A")
    (directory / "a").chmod(0o4755)
    if os.geteuid() == 0:
        os.chown(directory / "a", NOBODY, NOBODY)
        (directory / "a").chmod(0o4755)
        replace_file(root, at("a"), to(b"B"))
        status = (directory / "a").stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY, NOBODY, 0o4755)
        monkeypatch.setattr(os, "fchown", record)
        replace_file(root, at("a"), to(b"C"))
        assert asked == [(NOBODY, NOBODY), (-1, NOBODY)]
        assert stat.S_IMODE((directory / "a").stat().st_mode) == 0o755
    else:
        replace_file(root, at("a"), to(b"B"))
        assert (directory / "a").stat().st_uid == os.geteuid()


def test_the_target_of_a_link_is_replaced_and_the_link_stays(directory: Path, root: ProjectRoot) -> None:
    (directory / "real").mkdir()
    (directory / "real" / "a").write_text("A")
    (directory / "link").symlink_to("real/a")
    (directory / "new").symlink_to("real/created")
    replace_file(root, at("link"), to(b"B"))
    replace_file(root, at("new"), to(b"N"))
    assert (directory / "link").is_symlink()
    assert (directory / "real" / "a").read_bytes() == b"B"
    assert (directory / "real" / "created").read_bytes() == b"N"


def test_the_other_names_of_a_hard_link_keep_the_old_content(directory: Path, root: ProjectRoot) -> None:
    store = directory.parent / "store"  # like a package store that many projects share
    store.write_text("A")
    os.link(store, directory / "a")
    replace_file(root, at("a"), to(b"B"))
    assert (directory / "a").read_bytes() == b"B"
    assert store.read_bytes() == b"A"


def test_missing_parents_are_created_and_go_again_when_the_write_fails(directory: Path, any_root: ProjectRoot) -> None:
    replace_file(any_root, at("x/y/a"), to(b"A"))
    assert names(directory) == ["x", "x/y", "x/y/a"]
    with pytest.raises(ToolError):
        replace_file(any_root, at("x/new/deep/b"), to(b"B"), expected_hash=content_hash(b"other"))
    assert names(directory) == ["x", "x/y", "x/y/a"]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let writes beyond a size fail, as on a full disk (EFBIG in place of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_file_and_nothing_else(directory: Path, any_root: ProjectRoot) -> None:
    (directory / "a").write_text("old")
    with file_size_limit(100_000), pytest.raises(ToolError) as refused:
        replace_file(any_root, at("a"), to(b"x" * 200_000))
    assert refused.value.code == "disk_full"
    with file_size_limit(100_000), pytest.raises(ToolError):
        replace_file(any_root, at("d/new"), to(b"x" * 200_000))
    assert names(directory) == ["a"]
    assert (directory / "a").read_text() == "old"


@pytest.mark.parametrize("step", ["write", "fchmod", "fsync", "rename", "read"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(
    directory: Path, root: ProjectRoot, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    (directory / "a").write_text("old")

    def change(_before: bytes | None) -> bytes:
        """Break the step only now, when the old content has been read."""
        monkeypatch.setattr(os, step, fail)
        return b"new"

    with pytest.raises(ToolError) as refused:
        replace_file(root, at("a"), change)
    monkeypatch.undo()
    assert refused.value.code == ("io_error" if number == errno.EIO else "disk_full")
    assert names(directory) == ["a"]
    assert (directory / "a").read_text() == "old"


def test_a_change_that_is_refused_leaves_no_trace(directory: Path, root: ProjectRoot) -> None:
    def refuse(_before: bytes | None) -> bytes:
        raise ToolError("no_match", "no")

    with pytest.raises(ToolError) as refused:
        replace_file(root, at("new/a"), refuse)
    assert refused.value.path == "p/new/a"
    assert names(directory) == []


def test_the_same_content_is_not_written_again(directory: Path, root: ProjectRoot) -> None:
    (directory / "a").write_text("A")
    before = (directory / "a").stat()
    assert replace_file(root, at("a"), to(b"A")) == Replacement(b"A", b"A", written=False)
    assert (directory / "a").stat() == before


@pytest.mark.parametrize(
    ("content", "expected", "passes"),
    [
        (b"A", content_hash(b"A"), True),
        (b"A", content_hash(b"B"), False),
        (b"A", ABSENT, False),
        (None, ABSENT, True),
        (None, content_hash(b"A"), False),
    ],
)
def test_expected_hash_decides(
    directory: Path, root: ProjectRoot, content: bytes | None, expected: str, passes: bool
) -> None:
    if content is not None:
        (directory / "a").write_bytes(content)
    if passes:
        assert replace_file(root, at("a"), to(b"new"), expected_hash=expected).written
    else:
        with pytest.raises(ToolError) as refused:
            replace_file(root, at("a"), to(b"new"), expected_hash=expected)
        assert refused.value.code == "conflict"
        assert ((directory / "a").read_bytes() if content is not None else None) == content


@pytest.mark.parametrize("exists", [True, False])
def test_of_concurrent_writers_with_one_expected_hash_exactly_one_wins(
    directory: Path, root: ProjectRoot, exists: bool
) -> None:
    if exists:
        (directory / "a").write_bytes(b"start")
    expected = content_hash(b"start") if exists else ABSENT
    together = threading.Barrier(8)

    def write(number: int) -> str:
        together.wait()
        try:
            replace_file(root, at("a"), to(b"%d" % number), expected_hash=expected)
        except ToolError as error:
            return error.code
        return "won"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, range(8)))
    assert sorted(outcomes) == ["conflict"] * 7 + ["won"]
    assert (directory / "a").read_bytes() == b"%d" % outcomes.index("won")
    assert names(directory) == ["a"]


def test_no_change_of_concurrent_editors_is_lost(directory: Path, root: ProjectRoot) -> None:
    (directory / "a").write_bytes(b"")

    def append(number: int) -> None:
        replace_file(root, at("a"), lambda before: (before or b"") + b"%d\n" % number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(40)))
    assert sorted(map(int, (directory / "a").read_bytes().split())) == list(range(40))


def test_a_write_from_a_spoke_between_reading_and_replacing_is_not_overwritten(
    directory: Path, root: ProjectRoot
) -> None:
    (directory / "a").write_bytes(b"one\n")
    interferences = iter([b"two\n", b"three\n"])

    def change(before: bytes | None) -> bytes:
        for content in interferences:
            (directory / "a").write_bytes(content)
            break
        return (before or b"") + b"mine\n"

    replace_file(root, at("a"), change)
    assert (directory / "a").read_bytes() == b"three\nmine\n"


def test_a_change_from_a_spoke_under_an_expected_hash_is_refused(directory: Path, root: ProjectRoot) -> None:
    (directory / "a").write_bytes(b"one")

    def change(_before: bytes | None) -> bytes:
        (directory / "a").write_bytes(b"two")  # same size, same inode, within one tick of the clock
        return b"mine"

    with pytest.raises(ToolError) as refused:
        replace_file(root, at("a"), change, expected_hash=content_hash(b"one"))
    assert refused.value.code == "conflict"
    assert (directory / "a").read_bytes() == b"two"


def test_a_file_that_appears_before_a_new_one_is_put_there_is_not_overwritten(
    directory: Path, root: ProjectRoot
) -> None:
    def change(before: bytes | None) -> bytes:
        if before is None:
            (directory / "a").write_bytes(b"theirs\n")
        return (before or b"") + b"mine\n"

    replace_file(root, at("a"), change)
    assert (directory / "a").read_bytes() == b"theirs\nmine\n"


def test_a_link_that_is_put_in_place_of_the_file_is_not_written_through(directory: Path, root: ProjectRoot) -> None:
    (directory / "a").write_bytes(b"A")

    def change(_before: bytes | None) -> bytes:
        (directory / "a").unlink(missing_ok=True)
        (directory / "a").symlink_to("../secret")
        return b"mine"

    with pytest.raises(ToolError) as refused:
        replace_file(root, at("a"), change)
    assert refused.value.code == "outside_project"
    assert (directory.parent / "secret").read_text() == "secret\n"


def test_a_file_that_changes_all_the_time_is_given_up(directory: Path, root: ProjectRoot) -> None:
    count = 0

    def change(_before: bytes | None) -> bytes:
        nonlocal count
        count += 1
        (directory / "a").write_bytes(b"%d" % count)
        return b"mine"

    (directory / "a").write_bytes(b"0")
    with pytest.raises(ToolError) as refused:
        replace_file(root, at("a"), change)
    assert refused.value.code == "changed_meanwhile"
    assert count < 100


def test_a_read_only_file_is_refused_though_its_directory_would_allow_it(directory: Path, root: ProjectRoot) -> None:
    (directory / "a").write_text("A")
    (directory / "a").chmod(0o444)
    with pytest.raises(ToolError) as refused:
        replace_file(root, at("a"), to(b"B"))
    assert refused.value.code == "read_only"
    assert (directory / "a").read_text() == "A"


def test_too_large_content_is_refused(directory: Path, root: ProjectRoot) -> None:
    with pytest.raises(ToolError) as refused:
        replace_file(root, at("a"), to(b"12345"), limit=4)
    assert refused.value.code == "too_large"
    assert names(directory) == []


@pytest.mark.parametrize("kind", ["fifo", "directory", "root"])
def test_only_regular_files_are_replaced(directory: Path, any_root: ProjectRoot, kind: str) -> None:
    os.mkfifo(directory / "fifo")
    (directory / "directory").mkdir()
    path = WorkspacePath("p") if kind == "root" else at(kind)
    with pytest.raises(ToolError) as refused:
        replace_file(any_root, path, to(b"A"))
    assert refused.value.code == ("not_a_file" if kind == "fifo" else "is_a_directory")
    assert names(directory) == ["directory", "fifo"]


def test_readers_see_the_old_content_or_the_new_and_nothing_else(directory: Path, root: ProjectRoot) -> None:
    contents = {bytes([65 + number]) * 100_000 for number in range(8)}
    (directory / "a").write_bytes(b"A" * 100_000)
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add((directory / "a").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        for content in sorted(contents):
            replace_file(root, at("a"), to(content))
    stop.set()
    reader.join()
    assert seen <= contents


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_noreplace_still_gets_new_files(
    directory: Path, root: ProjectRoot, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("codebuddy.workspace.staging.rename_new", refuse)
    replace_file(root, at("a"), to(b"A"))
    assert (directory / "a").read_bytes() == b"A"
