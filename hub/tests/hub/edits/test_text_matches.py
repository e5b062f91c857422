"""Occurrences of a renamed symbol that are found by their text and not reported by a language server."""

from __future__ import annotations

import random
from typing import Any

import pytest

from codebuddy.files.paths import WorkspacePath
from codebuddy.files.search import WordFile, WordPlace
from codebuddy.hub.edits.text_matches import require_meant, without_renamed
from codebuddy.schemas.code import Place, PlannedRename
from codebuddy.schemas.files import FileChange, RangeEdit
from codebuddy.tool import ToolError


def word_file(*places: tuple[int, int], path: str = "p/a") -> WordFile:
    return WordFile(WorkspacePath.parse(path), "hash", tuple(WordPlace(line, column, "") for line, column in places))


def edit(line: int, column: int, end_line: int, end_column: int) -> RangeEdit:
    return RangeEdit(line=line, column=column, end_line=end_line, end_column=end_column, new_text="new")


def test_an_occurrence_is_left_out_exactly_when_an_edit_covers_it() -> None:
    chance = random.Random(4)
    for _ in range(300):
        edits = []
        for _ in range(chance.randrange(1, 6)):
            begin, end = sorted((chance.randrange(1, 5), chance.randrange(1, 5)) for _ in range(2))
            edits.append(edit(*begin, *end))
        everywhere = [(line, column) for line in range(1, 6) for column in range(1, 6)]
        left = without_renamed([word_file(*everywhere)], [FileChange(path="p/a", edits=edits)])
        expected = [at for at in everywhere if not any(one.covers(*at) for one in edits)]
        assert [(at.line, at.column) for file in left for at in file.places] == expected


def test_edits_of_other_files_keep_an_occurrence_and_a_replaced_file_has_none() -> None:
    files = [word_file((1, 1)), word_file((1, 1), path="p/b")]
    changes = [FileChange(path="p/c", edits=[edit(1, 1, 1, 4)]), FileChange(path="p/b", content="new")]
    assert without_renamed(files, changes) == files[:1]


def test_many_occurrences_and_edits_are_not_compared_pairwise(monkeypatch: pytest.MonkeyPatch) -> None:
    count, looked, read = 2000, 0, RangeEdit.__getattribute__

    def counted(self: RangeEdit, name: str) -> Any:
        nonlocal looked
        looked += name in ("line", "covers")
        return read(self, name)

    edits = [edit(5, 1, 5, 1) for _ in range(count)]
    file = word_file(*((number + 10, 1) for number in range(count)))
    change = FileChange(path="p/a", edits=edits)
    monkeypatch.setattr(RangeEdit, "__getattribute__", counted)
    assert without_renamed([file], [change]) == [file]
    assert 0 < looked < 10 * count


LINE = "foo(1); secretKey; r#type; this.#open"


def meant(old_name: str, told: str | None = None, *, elsewhere: bool = False, **asked: Any) -> None:
    words = WordFile(WorkspacePath.parse("p/a"), "hash", (WordPlace(3, LINE.index(old_name) + 1, LINE),))
    planned = PlannedRename(complete=True, changes=[], declarations=[], old_name=old_name, symbol=told)
    require_meant(Place(path="p/a", **asked), planned, [words], elsewhere=elsewhere)


@pytest.mark.parametrize(
    ("name", "column"),
    [("foo", 1), ("foo", 4), ("secretKey", 9), ("secretKey", 18), ("type", 20), ("open", LINE.index("#open") + 1)],
)
def test_a_name_at_the_given_column_is_accepted(name: str, column: int) -> None:
    meant(name, line=3, column=column)


@pytest.mark.parametrize("place", [{"line": 3, "column": 1}, {"line": 3, "column": 19}, {"line": 2, "column": 9}])
def test_a_name_that_is_not_at_the_given_column_is_refused(place: dict[str, int]) -> None:
    with pytest.raises(ToolError, match="does not") as refused:
        meant("secretKey", **place)
    assert refused.value.code == "bad_answer"


def test_other_projects_are_not_asked_for_a_symbol_that_the_caller_did_not_name() -> None:
    meant("secretKey", "Outer/Box/secretKey", symbol="Box/secretKey", elsewhere=True)
    meant("secretKey", "(*Box).secretKey", symbol="Box/secretKey", elsewhere=True)  # as gopls writes it
    meant("secretKey", "Vault/secretKey", symbol="Box/secretKey")  # what it is called is its project's own matter
    for told in ("Vault/secretKey", "MyBox/secretKey", "secretKey", None):
        with pytest.raises(ToolError, match="other projects"):
            meant("secretKey", told, symbol="Box/secretKey", elsewhere=True)
