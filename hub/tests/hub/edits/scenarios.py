"""Edits that together use every kind of step, and the files that they start from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codebuddy.hub.edits.draft import Draft

from .bench import Bench, Write, path

OLD = b"old\n" * 3000  # some pages, so that a write can end in the middle
NEW = b"new\n" * 5000


@dataclass(frozen=True)
class Scenario:
    """An edit to be interrupted.

    Args:
        name: what it is about.
        plant: makes what is there first; what it gives is handed on.
        work: does it, with the engine of the bench.
    """

    name: str
    plant: Callable[[Bench], Any]
    work: Callable[[Bench, Any], object]


def plant(bench: Bench) -> None:
    """Some of everything, in both projects."""
    (bench.a / "dir/sub").mkdir(parents=True)
    (bench.a / "dir/sub").chmod(0o700)
    (bench.a / "empty").mkdir()
    (bench.b / "dir").mkdir()
    files = ("a/one", "a/two", "a/dir/in", "a/dir/sub/deep", "b/one", "b/two", "b/dir/in")
    for number, name in enumerate(files):
        (bench.base / name).write_bytes(f"{name}\n".encode() * (number + 1))
        (bench.base / name).chmod(0o640)
    (bench.a / "big").write_bytes(OLD)
    os.link(bench.a / "big", bench.a / "other name")
    (bench.a / "link").symlink_to("dir/in")
    (bench.a / "dir/up").symlink_to("../one")


def several_files(draft: Draft) -> None:
    draft.write(path("a/one"), NEW)
    draft.write(path("b/two"), b"")
    draft.write(path("b/new"), b"made", mode=0o755)
    draft.write(path("a/dir/in"), b"in\n", mode=0o600)


def nested_directories(draft: Draft) -> None:
    draft.write(path("a/new/deep/er/file"), b"1")
    draft.write(path("a/new/beside"), b"2")
    draft.make_directory(path("a/new/bare"))
    draft.write(path("b/dir/more/file"), b"3")


def delete_files(draft: Draft) -> None:
    draft.delete(path("a/one"))
    draft.delete(path("b/dir/in"))
    draft.write(path("a/two"), b"kept\n")


def delete_directories(draft: Draft) -> None:
    draft.delete(path("a/dir"), recursive=True)
    draft.delete(path("a/empty"))
    draft.write(path("b/one"), b"kept\n")


def delete_link(draft: Draft) -> None:
    draft.delete(path("a/link"))
    draft.delete(path("a/dir/up"))


def move_files(draft: Draft) -> None:
    draft.move(path("a/one"), path("a/renamed"))
    draft.move(path("a/two"), path("a/dir/two"))
    draft.move(path("a/link"), path("a/dir/link"))
    draft.move(path("b/one"), path("b/one more"))


def move_directory(draft: Draft) -> None:
    draft.move(path("a/dir"), path("a/moved"))
    draft.move(path("b/dir"), path("b/far"))


def carry_over(draft: Draft) -> None:
    draft.move(path("a/dir"), path("b/carried"))
    draft.move(path("b/one"), path("a/three"))


def swap(draft: Draft) -> None:
    for one, other in (("a/one", "a/two"), ("b/one", "b/dir")):
        draft.move(path(one), path(one + ".between"))
        draft.move(path(other), path(one))
        draft.move(path(one + ".between"), path(other))


def move_into_new_directory(draft: Draft) -> None:
    draft.make_directory(path("a/fresh/inner"))
    draft.move(path("a/one"), path("a/fresh/inner/one"))
    draft.move(path("a/dir"), path("a/fresh/dir"))
    draft.write(path("a/fresh/beside"), b"b")


def edit_in_moved_directory(draft: Draft) -> None:
    draft.move(path("a/dir"), path("a/moved"))
    draft.write(path("a/moved/in"), NEW)
    draft.write(path("a/moved/sub/more"), b"more")
    draft.delete(path("a/moved/sub/deep"))
    draft.write(path("b/two"), b"beside")


def move_and_rewrite(draft: Draft) -> None:
    draft.move(path("a/one"), path("a/empty/one"))
    draft.write(path("a/empty/one"), NEW)
    draft.write(path("a/one"), b"another at the old name")


def overwrite_by_move(draft: Draft) -> None:
    draft.move(path("a/one"), path("a/two"), overwrite=True)
    draft.move(path("b/two"), path("a/dir/in"), overwrite=True)


def file_for_directory(draft: Draft) -> None:
    draft.delete(path("a/dir"), recursive=True)
    draft.write(path("a/dir"), b"a file now")
    draft.delete(path("b/two"))
    draft.write(path("b/two/inside"), b"a directory now")


def new_directories_at_old_names(draft: Draft) -> None:
    draft.delete(path("b/two"))
    draft.move(path("b/dir"), path("b/two/inside"))
    draft.move(path("a/dir"), path("a/empty/moved"))
    draft.move(path("a/empty/moved/sub"), path("a/dir/again"))


def new_things_where_names_go_round(draft: Draft) -> None:
    draft.move(path("a/dir"), path("a/moved"))
    draft.move(path("a/empty"), path("a/dir"))
    draft.make_directory(path("a/moved/new"))
    draft.write(path("a/dir/new/file"), b"in what was empty")
    draft.write(path("a/moved/in"), NEW)


def hard_linked(draft: Draft) -> None:
    draft.write(path("a/one"), b"before it\n")
    draft.write(path("a/big"), NEW)
    draft.write(path("b/one"), b"after it\n")


def hard_linked_shrinks(draft: Draft) -> None:
    draft.write(path("a/big"), b"short\n", mode=0o755)
    draft.write(path("b/one"), b"after it\n")


def modes_only(draft: Draft) -> None:
    for name in ("a/one", "b/one"):
        node = draft.find(path(name))
        assert node is not None
        assert node.content is not None
        draft.write(path(name), node.content, mode=0o755)


def _applied(write: Write) -> Scenario:
    def work(bench: Bench, _: Any) -> None:
        bench.apply(write)

    return Scenario(write.__name__, plant, work)


def _undone(write: Write) -> Scenario:
    def plant_and_apply(bench: Bench) -> str | None:
        plant(bench)
        return bench.apply(write).edit

    return Scenario(f"undo_of_{write.__name__}", plant_and_apply, lambda bench, edit: bench.undo(edit))


def one_file(draft: Draft) -> None:
    draft.write(path("a/dir/in"), b"in\n", mode=0o600)


def one_new_file(draft: Draft) -> None:
    draft.write(path("a/dir/new"), NEW)


WRITES: list[Write] = [
    one_file,
    one_new_file,
    several_files,
    nested_directories,
    delete_files,
    delete_directories,
    delete_link,
    move_files,
    move_directory,
    carry_over,
    swap,
    move_into_new_directory,
    edit_in_moved_directory,
    move_and_rewrite,
    overwrite_by_move,
    file_for_directory,
    new_directories_at_old_names,
    new_things_where_names_go_round,
    hard_linked,
    hard_linked_shrinks,
    modes_only,
]
APPLIED = [_applied(write) for write in WRITES]
UNDONE = [_undone(write) for write in WRITES]


def named(name: str) -> Scenario:
    return next(scenario for scenario in (*APPLIED, *UNDONE) if scenario.name == name)
