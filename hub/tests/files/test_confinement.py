"""Nothing that a process in a spoke can plant leads out of the project, with openat2 and without it."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codebuddy.files.confinement import (
    Opener,
    ProjectRoot,
    default_opener,
    open_resolved,
    open_without_links,
    openat2_beneath,
    openat2_works,
)
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import read_bytes
from codebuddy.tool import ToolError
from codebuddy_testing.open_files import open_files_below

Plant = Callable[[Path], None]


def at(path: str) -> WorkspacePath:
    return WorkspacePath.parse(f"p/{path}")


def absolute(d: Path) -> None:
    (d / "x").symlink_to(d.parent / "secret")


def relative(d: Path) -> None:
    (d / "x").symlink_to("../secret")


def sibling(d: Path) -> None:
    (d / "x").symlink_to("../p-evil/secret")


def chained(d: Path) -> None:
    (d / "sub").mkdir()
    (d / "x").symlink_to("sub/y")
    (d / "sub" / "y").symlink_to("z")
    (d / "sub" / "z").symlink_to("../../secret")


def through_root(d: Path) -> None:
    (d / "x").symlink_to(f"/proc/self/root{d.parent}/secret")


def through_cwd(d: Path) -> None:
    (d / "x").symlink_to("/proc/self/cwd/secret")


def dangling(d: Path) -> None:
    (d / "x").symlink_to("../created")


def up_and_back(d: Path) -> None:
    (d / "y").write_text("inside\n")
    (d / "x").symlink_to("../p/y")


ESCAPES: list[Plant] = [absolute, relative, sibling, chained, through_root, through_cwd, dangling, up_and_back]


@pytest.mark.parametrize("plant", ESCAPES)
def test_a_link_out_of_the_project_is_not_read_through(
    directory: Path, any_root: ProjectRoot, opener: Opener, plant: Plant
) -> None:
    plant(directory)
    if plant is up_and_back and opener is open_resolved:
        assert read_bytes(any_root, at("x")) == b"inside\n"
        return
    with pytest.raises(ToolError) as refused:
        read_bytes(any_root, at("x"))
    assert refused.value.code in {"outside_project", "link_not_followed"}
    assert refused.value.path == "p/x"


@pytest.mark.parametrize("plant", ESCAPES)
def test_a_link_out_of_the_project_is_no_place_to_write(
    directory: Path, any_root: ProjectRoot, opener: Opener, plant: Plant
) -> None:
    plant(directory)
    if plant is up_and_back and opener is open_resolved:
        return  # it ends inside, and this opener is for reading only
    with pytest.raises(ToolError) as refused, any_root.place(at("x")):
        pass
    assert refused.value.code in {"outside_project", "link_not_followed"}


@pytest.mark.parametrize("target", ["..", "../p-evil", "/", "/proc/self/root", "sub/out"])
def test_a_directory_link_out_of_the_project_is_not_entered(
    directory: Path, any_root: ProjectRoot, target: str
) -> None:
    (directory / "sub").mkdir()
    (directory / "sub" / "out").symlink_to("../../p-evil")
    (directory / "d").symlink_to(target)
    attempts: list[Callable[[], object]] = [
        lambda: any_root.directory(at("d")).__enter__(),
        lambda: any_root.file(at("d/secret")).__enter__(),
        lambda: any_root.place(at("d/new")).__enter__(),
    ]
    for attempt in attempts:
        with pytest.raises(ToolError) as refused:
            attempt()
        assert refused.value.code in {"outside_project", "link_not_followed"}


def test_links_that_stay_inside_are_followed(directory: Path, root: ProjectRoot) -> None:
    (directory / "sub" / "deep").mkdir(parents=True)
    (directory / "a").write_text("A")
    (directory / "sub" / "up").symlink_to("../a")
    (directory / "to-deep").symlink_to("sub/deep")
    (directory / "sub" / "deep" / "far").symlink_to("../../sub/up")
    assert read_bytes(root, at("sub/up")) == b"A"
    assert read_bytes(root, at("to-deep/far")) == b"A"
    with root.place(at("to-deep/far")) as place:
        assert place.name == "a"
        assert os.fstat(place.directory).st_ino == directory.stat().st_ino


def test_without_openat2_even_links_inside_are_refused_and_the_reason_is_told(directory: Path) -> None:
    (directory / "a").write_text("A")
    (directory / "l").symlink_to("a")
    (directory / "d").symlink_to(".")
    root = ProjectRoot("p", str(directory), open_without_links)
    for path in ("l", "d/a"):
        with pytest.raises(ToolError, match="openat2") as refused:
            read_bytes(root, at(path))
        assert refused.value.code == "link_not_followed"
    assert read_bytes(root, at("a")) == b"A"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing", "not_found"),
        ("missing/a", "not_found"),
        ("d", "is_a_directory"),
        ("f/a", "not_a_directory"),
        ("fifo", "not_a_file"),
        ("socket", "not_a_file"),
    ],
)
def test_what_is_no_readable_file_is_refused_at_once(
    directory: Path, any_root: ProjectRoot, path: str, code: str
) -> None:
    (directory / "d").mkdir()
    (directory / "f").write_text("")
    os.mkfifo(directory / "fifo")
    with socket.socket(socket.AF_UNIX) as listener, _working_in(directory):
        listener.bind("socket")  # a socket's path has room for 108 bytes only
        assert at_once(directory, lambda: read_bytes(any_root, at(path))) == code


def at_once(directory: Path, read: Callable[[], bytes]) -> str:
    """Return the code with which a read is refused; one that blocks is a failure, not a test that hangs."""
    codes: list[str] = []

    def attempt() -> None:
        try:
            read()
        except ToolError as error:
            codes.append(error.code)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(30)
    if thread.is_alive():
        os.close(os.open(directory / "fifo", os.O_RDWR | os.O_NONBLOCK))
        pytest.fail("the read was blocked")
    return codes[0]


def test_an_absolute_link_in_a_directory_is_not_taken_for_a_relative_one(directory: Path, root: ProjectRoot) -> None:
    (directory / "sub").mkdir()
    (directory / "sub" / "y").write_text("inside\n")
    (directory / "sub" / "x").symlink_to("/y")
    with pytest.raises(ToolError) as refused, root.place(at("sub/x")):
        pass
    assert refused.value.code == "outside_project"


def test_a_link_put_in_a_place_that_was_found_is_not_opened(directory: Path, any_root: ProjectRoot) -> None:
    (directory / "x").write_text("inside\n")
    with any_root.place(at("x")) as place:
        (directory / "x").unlink()
        (directory / "x").symlink_to("../secret")
        with pytest.raises(OSError, match="symbolic links"):
            place.open()


@pytest.mark.parametrize("plant", [lambda d: (d / "x").symlink_to("x"), lambda d: (d / "x").symlink_to("y/../x")])
def test_links_in_a_circle_are_refused(directory: Path, root: ProjectRoot, plant: Plant) -> None:
    (directory / "y").mkdir()
    plant(directory)
    with pytest.raises(ToolError) as refused:
        read_bytes(root, at("x"))
    assert refused.value.code == "too_many_links"
    with pytest.raises(ToolError) as refused, root.place(at("x")):
        pass
    assert refused.value.code == "too_many_links"


@pytest.mark.parametrize("target", [".", "sub/", "sub/.", "sub/.."])
def test_a_link_to_a_directory_is_no_place_for_a_file(directory: Path, root: ProjectRoot, target: str) -> None:
    (directory / "sub").mkdir()
    (directory / "x").symlink_to(target)
    with pytest.raises(ToolError) as refused, root.file(at("x")):
        pass
    assert refused.value.code == "is_a_directory"


@contextmanager
def swapping(first: Path, second: Path) -> Iterator[None]:
    """Exchange two paths as fast as it goes, as a hostile process in a spoke would."""
    stop = threading.Event()
    spare = first.with_name("spare")

    def swap() -> None:
        while not stop.is_set():
            os.rename(first, spare)
            os.rename(second, first)
            os.rename(spare, second)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_links_swapped_in_during_the_call_never_give_the_secret(
    directory: Path, any_root: ProjectRoot, kind: str
) -> None:
    if kind == "file":
        (directory / "x").write_text("inside\n")
        (directory / "evil").symlink_to("../secret")
        path = at("x")
    else:
        (directory / "x").mkdir()
        (directory / "x" / "secret").write_text("inside\n")
        (directory / "evil").symlink_to("../p-evil")
        path = at("x/secret")
    seen, tries, deadline = set(), 0, time.monotonic() + 60
    with swapping(directory / "x", directory / "evil"):
        # Until both states were met, for on a busy machine the swapper may have no turn for long.
        while tries < 3000 or b"inside\n" not in seen or not seen & {b"outside_project", b"link_not_followed"}:
            assert time.monotonic() < deadline, f"the race was not met: {seen}"
            tries += 1
            try:
                seen.add(read_bytes(any_root, path))
            except ToolError as error:
                seen.add(error.code.encode())
    assert b"secret\n" not in seen


def test_a_writing_place_swapped_during_the_call_is_never_outside(directory: Path, any_root: ProjectRoot) -> None:
    (directory / "x").mkdir()
    (directory / "evil").symlink_to("../p-evil")
    inode, places, tries, deadline = (directory / "x").stat().st_ino, 0, 0, time.monotonic() + 60
    with swapping(directory / "x", directory / "evil"):
        while tries < 3000 or not places:
            assert time.monotonic() < deadline, "the directory was never met"
            tries += 1
            try:
                with any_root.place(at("x/new")) as place:
                    assert os.fstat(place.directory).st_ino == inode
                    places += 1
            except ToolError:
                continue


def test_the_kernel_here_has_openat2_and_it_is_used() -> None:
    assert openat2_works()
    assert default_opener() is openat2_beneath


def test_a_path_that_races_with_renames_for_ever_ends_in_busy(directory: Path) -> None:
    tries = 0

    def racing(_root: int, path: str, _flags: int) -> int:
        nonlocal tries
        tries += 1
        raise BlockingIOError(11, "again", path)

    with pytest.raises(ToolError) as refused:
        read_bytes(ProjectRoot("p", str(directory), racing), at("a"))
    assert refused.value.code == "busy"
    assert 1 < tries < 1000


def test_descriptors_are_closed_whatever_happens(directory: Path, opener: Opener) -> None:
    (directory / "a").write_text("A")
    (directory / "out").symlink_to("../secret")
    root = ProjectRoot("p", str(directory), opener)
    assert open_files_below(directory.parent)
    for path in ("a", "out", "missing", "a/b", "."):
        for use in (root.file, root.directory, root.place):
            try:
                with use(WorkspacePath.parse(f"p/{path}")):
                    pass
            except ToolError:
                pass
    del root, use
    gc.collect()
    assert not open_files_below(directory.parent)


@contextmanager
def _working_in(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
