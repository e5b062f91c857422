"""Arguments and answers of the file tools, and the changes of files that all edits are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from codebuddy.files.search import Listed, Match
from codebuddy.files.text import Encoding, LineEnding
from codebuddy.text_safety import printable
from codebuddy.tool import Arguments, Projects, Result

ExpectedHash = Annotated[str | None, Field(pattern=r"^(sha256:[0-9a-f]{64}|absent)$")]
_IncludeIgnored = Annotated[bool, Field(description="Also what .gitignore hides.")]
_Seconds = Annotated[float, Field(gt=0, le=60)]
_Position = Annotated[int, Field(ge=1, le=2**53 - 1)]


class ReadArguments(Arguments):
    """A file, or some of its lines."""

    path: str
    start_line: int | None = Field(None, ge=1)
    end_line: int | None = Field(None, ge=1, description="Inclusive.")


class ReadResult(Result):
    """Text with its real line endings; ``hash`` is that of the whole file, for expected_hash."""

    path: str
    content: str
    hash: str
    start_line: int
    end_line: int
    total_lines: int
    truncated: bool
    encoding: Encoding
    line_ending: LineEnding

    def text(self) -> str:
        """Render the content, below one line that says which part of the file it is."""
        cut = "; truncated, go on with start_line=" + str(self.end_line + 1) if self.truncated else ""
        lines = f"lines {self.start_line}-{self.end_line} of {self.total_lines}"
        return f"{printable(self.path)} ({lines}{cut}; {self.hash})\n{self.content}"


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

    truncated: bool
    reason: str | None = None
    cursor: str | None = None
    skipped: dict[str, int] | None = None
    unavailable: list[Unavailable] | None = None

    def lines(self) -> list[str]:
        """Render the items."""
        raise NotImplementedError

    def text(self) -> str:
        """Render the items, and below them what is missing and why."""
        notes = []
        if self.truncated:
            notes.append(f"truncated ({self.reason}){'; go on with the cursor' if self.cursor else ''}")
        if self.skipped:
            notes.append("left out: " + ", ".join(f"{number} {name}" for name, number in sorted(self.skipped.items())))
        notes += [f"{project.project}: {project.message}" for project in self.unavailable or ()]
        items = self.lines() or ["nothing found"]
        return "\n".join([*items, *(f"[{note}]" for note in notes)])


class ListResult(PagedResult):
    """Entries of a directory, depth first, names in order."""

    path: str
    entries: list[Listed]

    def lines(self) -> list[str]:
        """Render one path a line; directories end in a slash, links in @."""
        marks = {"directory": "/", "link": "@", "other": "?"}
        return [
            printable(one.path) + marks.get(one.type, "") + ("" if one.size is None else f"  {one.size} B")
            for one in self.entries
        ]


class FindResult(PagedResult):
    """Workspace paths of files."""

    paths: list[str]

    def lines(self) -> list[str]:
        return [printable(path) for path in self.paths]


class SearchResult(PagedResult):
    """Matches in order of project, path and place."""

    matches: list[Match]

    def lines(self) -> list[str]:
        """Render ``path:line:column: text``, with context lines as ``path-line- text``."""
        return [line for match in self.matches for line in _lines_of(match)]


def _lines_of(match: Match) -> list[str]:
    path, before = printable(match.path), match.before or []
    first = match.line - len(before)
    around = [f"{path}-{first + index}- {line}" for index, line in enumerate(before)]
    behind = [f"{path}-{match.end_line + 1 + index}- {line}" for index, line in enumerate(match.after or [])]
    return [*around, f"{path}:{match.line}:{match.column}: {match.line_text}", *behind]


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
