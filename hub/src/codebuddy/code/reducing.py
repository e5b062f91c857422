"""Text edits made small: of a stretch that a server replaces as a whole, what really changes. Pure.

python-lsp-server answers a rename with the whole new text of each file. As it stands, that edit would collide with
every other edit of the file, and would undo what was written there since the server read it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Final

from codebuddy.language.positions import split_lines
from codebuddy.schemas.files import RangeEdit

__all__ = ["differs_only_in_name", "reduced"]

_BREAK: Final = re.compile(r"\r\n|\n|\r")
_WORD: Final = re.compile(r"\w+|\W")

# The pairs of equal lines are what a comparison costs; over this, all lines that differ are one edit.
_MAX_PAIRS: Final = 1_000_000


def reduced(lines: list[str], edit: RangeEdit, ending: str | None) -> list[RangeEdit]:
    """Give the edits that do the same, up to line endings, and leave alone what the edit does not change.

    Args:
        lines: the text before.
        edit: new text for a stretch of it.
        ending: the line break for lines that are new; None, in a text of one line: as the server wrote them.
    """
    stretch = _Stretch(edit.line, edit.column, _between(lines, edit))
    breaks = [ending or found for found in _BREAK.findall(edit.new_text)]
    pieces = split_lines(edit.new_text)
    return [small for change in _changes(stretch.pieces, pieces) for small in stretch.edits(change, pieces, breaks)]


def differs_only_in_name(old_text: str, new_text: str, old_name: str, new_name: str) -> bool:
    """Say whether a text becomes the other one by renaming words and changing line endings, and nothing else."""
    word = re.compile(rf"(?<![\w$]){re.escape(old_name)}(?![\w$])")
    before, after = (
        [word.sub(lambda _: new_name, line) for line in split_lines(text)] for text in (old_text, new_text)
    )
    return before == after


@dataclass(frozen=True)
class _Change:
    """Pieces ``old_start`` to ``old_end`` of the old text become ``new_start`` to ``new_end`` of the new one."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


@dataclass(frozen=True)
class _Stretch:
    """A stretch of the old text: where it begins, and its lines, the first and the last perhaps only in part."""

    line: int
    column: int
    pieces: list[str]

    def edits(self, change: _Change, new: list[str], breaks: list[str]) -> Iterator[RangeEdit]:
        """Give the edits of one change; lines that stay as many are compared in pairs, and so keep their breaks."""
        if change.old_end - change.old_start == change.new_end - change.new_start:
            pairs = zip(range(change.old_start, change.old_end), new[change.new_start : change.new_end], strict=True)
            for index, text in pairs:
                yield from self._in_line(index, text)
            return
        texts = [text + after for text, after in zip(new, [*breaks, ""], strict=True)]
        last = change.old_end == len(self.pieces)
        end = self._place(change.old_end - 1, len(self.pieces[-1])) if last else self._place(change.old_end)
        yield _edit(self._place(change.old_start), end, "".join(texts[change.new_start : change.new_end]))

    def _in_line(self, index: int, text: str) -> Iterator[RangeEdit]:
        """Give the edits from one line to another: word by word if the words are as many, so that each renamed word
        is an edit of its own.
        """
        old, new = _WORD.findall(self.pieces[index]), _WORD.findall(text)
        if len(old) != len(new):
            old, new = _middles(self.pieces[index], text)
        column = 0
        for same, pairs in groupby(zip(old, new, strict=True), lambda pair: pair[0] == pair[1]):
            before, after = ("".join(words) for words in zip(*pairs, strict=True))
            if not same:
                yield _edit(self._place(index, column), self._place(index, column + len(before)), after)
            column += len(before)

    def _place(self, index: int, offset: int = 0) -> tuple[int, int]:
        return self.line + index, offset + (self.column if index == 0 else 1)


def _between(lines: list[str], edit: RangeEdit) -> list[str]:
    pieces = lines[edit.line - 1 : edit.end_line]
    pieces[-1] = pieces[-1][: edit.end_column - 1]
    pieces[0] = pieces[0][edit.column - 1 :]
    return pieces


def _changes(old: list[str], new: list[str]) -> list[_Change]:
    """Compare by lines without their breaks. The last piece, which has none, is equal to a last piece only."""
    if len(old) == len(new):
        return [_Change(0, len(old), 0, len(new))]
    first = [*((text, True) for text in old[:-1]), (old[-1], False)]
    second = [*((text, True) for text in new[:-1]), (new[-1], False)]
    head = _common(first, second)
    tail = min(_common(first[::-1], second[::-1]), len(first) - head, len(second) - head)
    middle, other = first[head : len(first) - tail], second[head : len(second) - tail]
    counts = Counter(other)
    if sum(counts[item] for item in middle) > _MAX_PAIRS:
        return [_Change(head, head + len(middle), head, head + len(other))]
    opcodes = SequenceMatcher(None, middle, other, autojunk=False).get_opcodes()
    return [_Change(head + a, head + b, head + c, head + d) for tag, a, b, c, d in opcodes if tag != "equal"]


def _common(first: Sequence[object], second: Sequence[object]) -> int:
    """Give the length of what both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(first), len(second)))


def _middles(old: str, new: str) -> tuple[list[str], list[str]]:
    """Cut two lines into what is the same before, what differs, and what is the same after."""
    head = _common(old, new)
    tail = min(_common(old[::-1], new[::-1]), len(old) - head, len(new) - head)
    return (
        [old[:head], old[head : len(old) - tail], old[len(old) - tail :]],
        [new[:head], new[head : len(new) - tail], new[len(new) - tail :]],
    )


def _edit(start: tuple[int, int], end: tuple[int, int], text: str) -> RangeEdit:
    return RangeEdit(line=start[0], column=start[1], end_line=end[0], end_column=end[1], new_text=text)
