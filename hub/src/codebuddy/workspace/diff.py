"""Unified diffs of bounded cost and size. Pure."""

from __future__ import annotations

import difflib
from itertools import takewhile

__all__ = ["unified_diff"]

_EXACT_LINES = 1000  # difflib is quadratic: above this many differing lines a side, one block replaces the other
_CONTEXT = 3


def unified_diff(
    path: str, before: str | None, after: str | None, max_bytes: int = 32 * 1024, old_path: str | None = None
) -> str:
    """Show what changed.

    Lines end at LF only, as in git, so that a patch program can apply it and a changed carriage return is seen.

    Args:
        path: name in the headers.
        before: None when the file is new.
        after: None when it was deleted.
        max_bytes: where the diff is cut, with a last line that says so.
        old_path: its name before, when it was moved.
    """
    old, new = (before or "").split("\n"), (after or "").split("\n")
    old, new = [line + "\n" for line in old], [line + "\n" for line in new]
    old, new = _mark_end(old), _mark_end(new)
    head = [
        f"--- {'/dev/null' if before is None else 'a/' + (old_path or path)}\n",
        f"+++ {'/dev/null' if after is None else 'b/' + path}\n",
    ]
    if old == new:
        return ""
    return _cut("".join(head + _hunks(old, new)), max_bytes)


def _mark_end(lines: list[str]) -> list[str]:
    """Drop the empty rest behind a final newline; mark a last line that has none."""
    if lines[-1] == "\n":
        return lines[:-1]
    return [*lines[:-1], lines[-1] + "\\ No newline at end of file\n"]


def _hunks(old: list[str], new: list[str]) -> list[str]:
    """Diff only what lies between the common beginning and end."""
    head = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    rest = zip(reversed(old[head:]), reversed(new[head:]), strict=False)
    tail = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], rest))
    first = max(0, head - _CONTEXT)
    old_part = old[first : len(old) - max(0, tail - _CONTEXT)]
    new_part = new[first : len(new) - max(0, tail - _CONTEXT)]
    if max(len(old_part), len(new_part)) > _EXACT_LINES:
        return _one_hunk(old_part, new_part, first, head - first, min(tail, _CONTEXT))
    lines = list(difflib.unified_diff(old_part, new_part, n=_CONTEXT))[2:]
    return [_shift(line, first) if line.startswith("@@") else line for line in lines]


def _one_hunk(old: list[str], new: list[str], first: int, lead: int, trail: int) -> list[str]:
    header = f"@@ -{first + bool(old)},{len(old)} +{first + bool(new)},{len(new)} @@\n"
    gone, come = old[lead : len(old) - trail], new[lead : len(new) - trail]
    kept = [" " + line for line in old[:lead]], [" " + line for line in old[len(old) - trail :]]
    return [header, *kept[0], *("-" + line for line in gone), *("+" + line for line in come), *kept[1]]


def _shift(header: str, lines: int) -> str:
    """Move a hunk header down by the lines that were cut off before it."""
    _, old, new, _ = header.split(" ", 3)
    return f"@@ {_moved(old, lines)} {_moved(new, lines)} @@\n"


def _moved(part: str, lines: int) -> str:
    start, comma, count = part[1:].partition(",")
    return f"{part[0]}{int(start) + lines}{comma}{count}"


def _cut(diff: str, max_bytes: int) -> str:
    if len(diff.encode()) <= max_bytes:
        return diff
    kept = diff.encode()[:max_bytes].decode("utf-8", "ignore")
    kept = kept[: kept.rfind("\n") + 1]
    return f"{kept}... diff cut after {kept.count(chr(10))} of {diff.count(chr(10))} lines\n"
