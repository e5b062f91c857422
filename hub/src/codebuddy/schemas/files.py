"""Arguments and answers of the file tools, and the changes of files that all edits are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from codebuddy.files.search import Listed, Match
from codebuddy.files.text import Encoding, LineEnding
from codebuddy.tool import LONG_ANSWER, Arguments, Projects, Result, counted, filled

ExpectedHash = Annotated[str | None, Field(pattern=r"^(sha256:[0-9a-f]{64}|absent)$")]
_IncludeIgnored = Annotated[bool, Field(description="Also what .gitignore hides.")]
_Seconds = Annotated[float, Field(gt=0, le=60)]
_Position = Annotated[int, Field(ge=1, le=2**53 - 1)]


class ReadArguments(Arguments):
    """A file, or some of its lines."""

    path: str
    start_line: int | None = Field(None, ge=1)
    end_line: int | None = Field(None, ge=1, description="Inclusive.")
    start_column: int | None = Field(None, ge=1, description="In start_line, to go on in a long line.")


class ReadResult(Result):
    """Text with its real line endings; ``hash`` is that of the whole file, for expected_hash."""

    longest = LONG_ANSWER

    path: str
    content: str
    hash: str
    start_line: int
    end_line: int
    total_lines: int
    truncated: bool
    encoding: Encoding
    line_ending: LineEnding
    next_column: int | None = Field(None, description="Where end_line goes on, if it is cut.")

    def lean(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"path": self.path, "hash": self.hash, "total_lines": self.total_lines}
        if self.end_line - self.start_line + 1 < self.total_lines:
            answer |= {"start_line": self.start_line, "end_line": self.end_line}
        if self.truncated:
            here = f"start_line={self.end_line}, start_column={self.next_column}"
            following = f"start_line={self.end_line + 1}" if self.next_column is None else here
            answer |= {"truncated": True, "message": f"Go on with {following}."}
        answer |= {} if self.encoding == "utf-8" else {"encoding": self.encoding}
        answer |= {} if self.line_ending in ("lf", "none") else {"line_ending": self.line_ending}
        return {**answer, "content": self.content}


class ListArguments(Arguments):
    """A directory, and how deep to list it."""

    path: str = Field(description="A project's id alone is its root.")
    depth: int = Field(1, ge=1, le=100)
    include_ignored: _IncludeIgnored = False
    limit: int = Field(500, ge=1, le=2000)
    cursor: str | None = None
    timeout_seconds: _Seconds = 10.0


class FindArguments(Arguments):
    """A glob over file paths."""

    pattern: str = Field(
        min_length=1,
        max_length=1000,
        description="Glob: *, ?, [a-z], {ts,tsx}, ** across directories; without a slash, of the name at any depth.",
    )
    projects: Projects = None
    include_ignored: _IncludeIgnored = False
    limit: int = Field(500, ge=1, le=2000)
    cursor: str | None = None
    timeout_seconds: _Seconds = 10.0


class SearchArguments(Arguments):
    """A text or regular expression to find in the contents of files."""

    pattern: str = Field(min_length=1, max_length=1000)
    regex: bool = Field(False, description="RE2, within lines unless it contains \\n.")
    case_sensitive: bool = True
    include: str | None = Field(None, min_length=1, max_length=1000, description="Glob of files, like *.{ts,tsx}.")
    context_lines: int = Field(0, ge=0, le=20)
    projects: Projects = None
    include_ignored: _IncludeIgnored = False
    limit: int = Field(100, ge=1, le=1000)
    cursor: str | None = None
    timeout_seconds: _Seconds = 10.0


class Unavailable(Result):
    """A project that could not be asked, and why."""

    project: str
    code: str
    message: str


class PagedResult(Result):
    """An answer with many items.

    Args:
        truncated: there is or may be more.
        reason: why: limit, timed_out, too_many_entries, too_much_text, project_unavailable.
        cursor: continues with the rest; None if no cursor could.
        skipped: how many files or directories were left out, by reason: ignored, binary_file, unsupported_encoding,
            too_large, too_costly, unreadable, not_a_file.
        unavailable: projects that could not be searched.
    """

    longest = LONG_ANSWER

    truncated: bool
    reason: str | None = None
    cursor: str | None = None
    skipped: dict[str, int] | None = None
    unavailable: list[Unavailable] | None = None

    def lean(self) -> dict[str, Any]:
        """Return what is missing and why; the items come after it."""
        part = filled(truncated=self.truncated, reason=self.reason, cursor=self.cursor, skipped=self.skipped)
        return part | unavailable_projects(self.unavailable)


def unavailable_projects(missing: list[Unavailable] | None) -> dict[str, Any]:
    """Return the field of a lean answer that says which projects are not in it, and why."""
    return filled(unavailable={one.project: one.message for one in missing or []})


class ListResult(PagedResult):
    """Entries of a directory, depth first, names in order."""

    path: str
    entries: list[Listed]

    def lean(self) -> dict[str, Any]:
        """Return for each path below the directory its size in bytes, or what it is if it is no file."""
        below = {
            one.path.removeprefix(f"{self.path}/"): one.type if one.size is None else one.size for one in self.entries
        }
        return {**super().lean(), "path": self.path, **counted(entries=below)}


class FindResult(PagedResult):
    """Workspace paths of files."""

    paths: list[str]

    def lean(self) -> dict[str, Any]:
        return super().lean() | counted(paths=self.paths)


class SearchResult(PagedResult):
    """Matches in order of project, path and place."""

    matches: list[Match]

    def lean(self) -> dict[str, Any]:
        """Group the matches by file; the lines around a match have no column."""
        files: dict[str, list[str]] = {}
        for match in self.matches:
            files.setdefault(match.path, []).extend(_rows(match))
        return {**super().lean(), "count": len(self.matches), **filled(files=files)}


def _rows(match: Match) -> list[str]:
    first, behind = match.line - len(match.before or ()), match.end_line + 1
    cut = " (a part of a long line)" if match.line_cut else ""
    return [
        *(f"{number} {line}" for number, line in enumerate(match.before or (), first)),
        f"{match.line}:{match.column} {match.line_text}{cut}",
        *(f"{number} {line}" for number, line in enumerate(match.after or (), behind)),
    ]


class RangeEdit(Arguments):
    """New text for a range of a file, as it was before any edit of the same change.

    Columns count Unicode code points; ``end_column`` is the one after the last character. An empty range inserts.
    """

    line: _Position
    column: _Position
    end_line: _Position
    end_column: _Position = Field(description="Exclusive.")
    new_text: str

    def covers(self, line: int, column: int) -> bool:
        """Say whether the character at a place is in the range."""
        return (self.line, self.column) <= (line, column) < (self.end_line, self.end_column)


class FileChange(Arguments):
    """One step of an edit: new text for ranges of a file, a whole file, a move, or a deletion.

    Steps apply in order, each to the result of the previous ones: a file can be moved and then edited at its new path.
    """

    path: str
    expected_hash: ExpectedHash = None
    edits: list[RangeEdit] | None = Field(
        default=None, min_length=1, description="Places from 1, in the text before this change; no overlaps."
    )
    content: str | None = Field(default=None, description="The whole new text; creates the file.")
    move_to: str | None = None
    delete: bool = False
    overwrite: bool = Field(default=False, description="With move_to.")
    recursive: bool = Field(default=False, description="With delete.")
    ignore_if_exists: bool = Field(default=False, description="With content or move_to.")
    ignore_if_not_exists: bool = Field(default=False, description="With delete.")

    @model_validator(mode="after")
    def _check_one_kind(self) -> FileChange:
        given = [self.edits is not None, self.content is not None, self.move_to is not None, self.delete]
        if sum(given) != 1:
            raise ValueError("give exactly one of edits, content, move_to, or delete: true")
        return self
