"""After random edits, the disk equals a model of a file system; and they can be undone and redone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from codebuddy.files.paths import WorkspacePath
from codebuddy.hub.edits.draft import Draft
from codebuddy.tool import ToolError
from codebuddy_testing.crash_rounds import DIRECTORY, Impossible, Names, Trees

from .bench import MEMORY, PROJECTS, Bench

WORDS = st.sampled_from(["x", "y", "link"])  # few, so that they collide
PATHS = st.tuples(st.sampled_from(PROJECTS), st.lists(WORDS, min_size=1, max_size=3)).map(
    lambda drawn: (drawn[0], *drawn[1])
)
CONTENTS = st.sampled_from([b"", b"1", b"2\n"])


class Unclear(Exception):
    """Something is created below a dangling link, for which nothing is guaranteed."""


class Linked(Trees):
    """A model that follows links as the kernel does."""

    def real(self, path: Names) -> Names:
        here, names, links = path[:1], list(path[1:]), 0
        while names:
            name = names.pop(0)
            kind, _, target = self.things.get((*here, name), DIRECTORY)
            if name == "..":
                here = here[:-1]
            elif kind == "link":
                links += 1
                names = os.fsdecode(target).split("/") + names
            else:
                here = (*here, name)
            if links and names and here not in self.things:
                raise Unclear
            if not here or links > 40 or (kind == "file" and names):
                raise Impossible
        return here


@dataclass(frozen=True)
class Write:
    path: Names
    content: bytes
    mode: int | None

    def to(self, trees: Trees) -> None:
        trees.write(self.path, self.content, self.mode)

    def draft(self, draft: Draft) -> None:
        draft.write(at(self.path), self.content, mode=self.mode)


@dataclass(frozen=True)
class MakeDirectory:
    path: Names

    def to(self, trees: Trees) -> None:
        trees.make_directory(self.path)

    def draft(self, draft: Draft) -> None:
        draft.make_directory(at(self.path))


@dataclass(frozen=True)
class Delete:
    path: Names
    recursive: bool

    def to(self, trees: Trees) -> None:
        trees.delete(self.path, recursive=self.recursive)

    def draft(self, draft: Draft) -> None:
        draft.delete(at(self.path), recursive=self.recursive)


@dataclass(frozen=True)
class Move:
    path: Names
    target: Names
    overwrite: bool

    def to(self, trees: Trees) -> None:
        trees.move(self.path, self.target, overwrite=self.overwrite)

    def draft(self, draft: Draft) -> None:
        draft.move(at(self.path), at(self.target), overwrite=self.overwrite)


Operation = Write | MakeDirectory | Delete | Move
OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Write, PATHS, CONTENTS, st.sampled_from([None, 0o755, 0o600])),
    st.builds(MakeDirectory, PATHS),
    st.builds(Delete, PATHS, st.booleans()),
    st.builds(Move, PATHS, PATHS, st.booleans()),
    st.builds(Move, PATHS, PATHS, st.just(True)),
)
# Directories that take each other's names, and things made in them: what random paths seldom give.
PLACES = st.sampled_from([("a", "x"), ("a", "y"), ("a", "link"), ("a", "x", "y"), ("a", "y", "y")])
INSIDE = st.tuples(PLACES, st.sampled_from("xyz")).map(lambda drawn: (*drawn[0], drawn[1]))
SHUFFLES: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Move, PLACES, PLACES, st.just(True)),
    st.builds(Move, INSIDE, PLACES, st.just(True)),
    st.builds(Write, INSIDE, CONTENTS, st.none()),
    st.builds(MakeDirectory, INSIDE),
    st.builds(Delete, PLACES | INSIDE, st.just(True)),
)
EDITS = st.lists(
    st.lists(OPERATIONS, min_size=1, max_size=7) | st.lists(SHUFFLES, min_size=2, max_size=7), min_size=1, max_size=4
)
BOUNDED = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    report_multiple_bugs=False,
)
LINKS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["x", "y", "x/y", "../x", "y/../x"]) for name in ("a/link", "a/y/link", "a/x/link")
    },
)


def at(path: Names) -> WorkspacePath:
    return WorkspacePath(path[0], path[1:])


@BOUNDED
@given(edits=EDITS)
def test_the_disk_equals_the_model_after_every_edit_and_is_restored_by_undo(
    edits: list[list[Operation]],
) -> None:
    with a_bench({}) as bench:
        for operations in edits:
            apply_and_compare(bench, operations)
        assert not bench.temporaries()


@BOUNDED
@given(links=LINKS, edits=EDITS)
def test_edits_through_links_equal_the_model_or_are_refused(
    links: dict[str, str], edits: list[list[Operation]]
) -> None:
    with a_bench(links) as bench:
        for operations in edits:
            before = read(bench)
            try:
                apply_and_compare(bench, operations)
            except ToolError:
                assert read(bench).things == before.things
        assert not bench.temporaries()


@contextmanager
def a_bench(links: dict[str, str]) -> Iterator[Bench]:
    base = Path(tempfile.mkdtemp(prefix="codebuddy-model-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    bench = Bench(base)
    try:
        for name in (
            "a/x/x",
            "a/x/y/x",
            "a/y/x",
            "b/x",
            "b/y/x/y",
            "b/link/x",
        ):  # so that the first steps meet something
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(name.encode())
        for name, target in links.items():
            (base / name).symlink_to(target)
        yield bench
    finally:
        bench.close()
        shutil.rmtree(base)


def apply_and_compare(bench: Bench, operations: list[Operation]) -> None:
    before = read(bench)
    after, draft = drafted(bench, before, operations)
    try:
        plan = draft.plan("test", "tester")
    except ToolError as error:
        if error.code != "two_edits":
            raise
        reject()  # what no one edit can do is not for the model to judge
    bench.engine.apply(plan, preview=True)
    assert read(bench).things == before.things, "a preview changed something"
    outcome = bench.engine.apply(plan)
    assert read(bench).things == after.things
    if outcome.edit is None:
        assert before.things == after.things
        return
    undoing = bench.undo(outcome.edit)
    assert read(bench).things == before.things, "not undone"
    bench.undo(undoing.edit)
    assert read(bench).things == after.things, "not done again"


def drafted(bench: Bench, before: Trees, operations: list[Operation]) -> tuple[Trees, Draft]:
    """Add a change to the model and the draft; the draft must refuse what the model refuses, and is then discarded."""
    after, taken = before.copy(), []
    draft = bench.draft()
    for operation in operations:
        wanted = after.copy()
        try:
            operation.to(wanted)
        except Unclear:
            continue
        except Impossible:
            assert is_refused(draft, operation) or is_refused_whole(bench, draft), f"{operation} cannot be done"
            draft = bench.draft()
            for earlier in taken:
                earlier.draft(draft)
            continue
        operation.draft(draft)
        taken.append(operation)
        after = wanted
    return after, draft


def is_refused(draft: Draft, operation: Operation) -> bool:
    try:
        operation.draft(draft)
    except ToolError as error:
        return bool(error.code and error.message)
    return False


def is_refused_whole(bench: Bench, draft: Draft) -> bool:
    """A draft does not see that its own changes make a link lead elsewhere; then the engine refuses."""
    before = read(bench)
    try:
        bench.engine.apply(draft.plan("test", "tester"))
    except ToolError:
        return read(bench).things == before.things
    return False


def read(bench: Bench) -> Trees:
    return Linked.read({project: bench.base / project for project in PROJECTS})
