"""Concurrent edits in one engine: one of two conflicting edits succeeds, no update is lost, and none deadlocks."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from codebuddy.files.text import content_hash
from codebuddy.hub.edits.draft import Draft
from codebuddy.hub.edits.engine import Outcome
from codebuddy.tool import ToolError

from .bench import Bench, Write, path


def together(*works: Callable[[], Outcome]) -> list[Outcome | ToolError]:
    """Run functions in parallel; return the result or error of each."""
    results: dict[int, Outcome | ToolError] = {}
    start = threading.Barrier(len(works))

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = works[number]()
        except ToolError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == len(works), "one of them does not come to its end"
    return [results[number] for number in range(len(works))]


def test_of_two_edits_with_the_same_expected_hash_exactly_one_succeeds(bench: Bench) -> None:
    content = b"0"
    (bench.a / "file").write_bytes(content)
    for number in range(200):
        contents = [f"{number} {who}".encode() for who in ("one", "other")]

        def write(mine: bytes, expected: bytes = content) -> Outcome:
            expects = content_hash(expected)
            return bench.apply(lambda draft: draft.write(path("a/file"), mine, expected_hash=expects))

        results = together(*(lambda mine=mine: write(mine) for mine in contents))
        refused = [result for result in results if isinstance(result, ToolError)]
        assert [error.code for error in refused] == ["conflict"]
        content = contents[0] if isinstance(results[1], ToolError) else contents[1]
        assert (bench.a / "file").read_bytes() == content
    assert len(bench.standing()) == 200
    assert not bench.temporaries()


def test_appending_by_many_threads_with_retries_loses_no_line(bench: Bench) -> None:
    (bench.a / "file").write_bytes(b"")

    def append(line: bytes) -> None:
        while True:
            draft = bench.draft()
            found = draft.find(path("a/file"))
            assert found is not None
            assert found.content is not None
            try:
                draft.write(path("a/file"), found.content + line, expected_hash=found.hash)
                bench.engine.apply(draft.plan("test", "tester"))
            except ToolError as error:
                assert error.code == "conflict", error.message  # noqa: PT017  any other is a failure of the test
            else:
                return

    def lines(who: int) -> Outcome:
        for number in range(10):
            append(f"{who}.{number}\n".encode())
        return Outcome(None, ())

    results = together(*(lambda who=who: lines(who) for who in range(8)))
    assert not any(isinstance(result, ToolError) for result in results)
    written = (bench.a / "file").read_text().splitlines()
    assert sorted(written) == sorted(f"{who}.{number}" for who in range(8) for number in range(10))


def test_edits_of_the_same_files_in_any_order_do_not_deadlock(bench: Bench) -> None:
    names = ["a/one", "a/two", "b/one", "b/two"]
    for name in names:
        (bench.base / name).write_bytes(b"")

    def many(order: list[str], who: str) -> Outcome:
        outcome = Outcome(None, ())
        for number in range(25):
            try:
                outcome = bench.apply(lambda draft: write_all(draft, order, f"{who} {number}".encode()))  # noqa: B023
            except ToolError as error:
                assert error.code == "conflict", error.message  # noqa: PT017
        return outcome

    def write_all(draft: Draft, order: list[str], content: bytes) -> None:
        for name in order:
            draft.write(path(name), content)

    results = together(*(lambda n=n: many(names[n:] + names[:n], str(n)) for n in range(4)))
    assert not any(isinstance(result, ToolError) for result in results)
    assert len({(bench.base / name).read_bytes() for name in names}) == 1, "two edits are mixed"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda draft: draft.move(path("a/dir"), path("a/moved")), lambda draft: draft.write(path("a/dir/in"), b"new")),
        (
            lambda draft: draft.delete(path("a/dir"), recursive=True),
            lambda draft: draft.write(path("a/dir/more"), b"new"),
        ),
        (lambda draft: draft.move(path("a/dir"), path("b/dir")), lambda draft: draft.write(path("a/dir/in"), b"new")),
    ],
    ids=["move", "delete", "carry over"],
)
def test_edits_that_race_with_the_deletion_of_a_directory_can_be_undone_in_turn(
    bench: Bench, one: Write, other: Write
) -> None:
    """Concurrent edits have the result of some order, and can be undone in the reverse order."""
    (bench.a / "dir").mkdir()
    (bench.a / "dir/in").write_bytes(b"old")
    before = bench.tree()
    for _ in range(40):
        earlier = len(bench.standing())
        results = together(lambda: bench.apply(one), lambda: bench.apply(other))
        refused = [result for result in results if isinstance(result, ToolError)]
        assert len(refused) < 2, "nobody wins"
        edits = bench.standing()[earlier:]
        assert len(edits) == 2 - len(refused)
        for edit in reversed(edits):
            bench.undo(edit.id)
        assert bench.tree() == before
