"""Diffs: a patch program gets the new text from the old one; cost and size are bounded."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from codebuddy.files.text import unified_diff

texts = st.lists(st.sampled_from(["a", "b", "c", "\r", "é"]), max_size=30).flatmap(
    lambda lines: st.sampled_from(["\n".join(lines), "\n".join(lines) + "\n"])
)


def patched(before: str, diff: str) -> str:
    """Apply a unified diff, strictly: line numbers, counts and context must all be right."""
    old = _split(before)
    result: list[str] = []
    at = 0
    lines = _split(diff)[2:]
    index = 0
    while index < len(lines):
        _, old_range, new_range, _ = lines[index].split(" ", 3)
        start, count = _range(old_range)
        new_start, new_count = _range(new_range)
        index += 1
        begin = start - 1 if count else start
        result += old[at:begin]
        assert len(result) == (new_start - 1 if new_count else new_start)
        at, first = begin, len(result)
        while index < len(lines) and not lines[index].startswith("@@"):
            mark, rest = lines[index][0], lines[index][1:]
            index += 1
            if index < len(lines) and lines[index].startswith("\\"):
                rest = rest.removesuffix("\n")
                index += 1
            if mark in " -":
                assert old[at] == rest
                at += 1
            if mark in " +":
                result.append(rest)
        assert (at - begin, len(result) - first) == (count, new_count)
    return "".join(result + old[at:])


def _split(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [line + "\n" for line in lines] + ([last] if last else [])


def _range(part: str) -> tuple[int, int]:
    start, _, count = part[1:].partition(",")
    return int(start), int(count or 1)


@given(texts, texts)
def test_a_diff_turns_the_old_text_into_the_new(before: str, after: str) -> None:
    diff = unified_diff("p/a", before, after)
    assert (diff == "") == (before == after)
    if diff:
        assert patched(before, diff) == after


def test_a_new_file_is_shown_as_such() -> None:
    assert unified_diff("p/a", None, "x\n") == "--- /dev/null\n+++ b/p/a\n@@ -0,0 +1 @@\n+x\n"


def test_a_small_change_in_a_huge_file_is_shown_with_its_context_only() -> None:
    lines = [f"{number}\n" for number in range(100_000)]
    before = "".join(lines)
    lines[50_000] = "x\n"
    diff = unified_diff("p/a", before, "".join(lines))
    assert diff.count("\n") == 2 + 1 + 3 + 2 + 3
    assert patched(before, diff) == "".join(lines)


def test_changes_too_large_for_an_exact_diff_are_one_block_and_still_right() -> None:
    numbers = random.Random(1)
    before = "".join(f"{number if number % 20 else numbers.random()}\n" for number in range(3000))
    after = "".join(f"{number if number % 20 else numbers.random()}\n" for number in range(3000))
    diff = unified_diff("p/a", "s\n" * 9 + before + "e\n" * 9, "s\n" * 9 + after + "e\n" * 9, max_bytes=10_000_000)
    assert diff.count("@@ -") == 1
    assert patched("s\n" * 9 + before + "e\n" * 9, diff) == "s\n" * 9 + after + "e\n" * 9


def test_a_large_diff_is_cut_and_says_so() -> None:
    diff = unified_diff("p/a", "", "é\n" * 50_000, max_bytes=1000)
    assert len(diff.encode()) < 1100
    assert diff.endswith("of 50003 lines\n")
