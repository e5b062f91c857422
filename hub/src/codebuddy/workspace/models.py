"""Arguments and answers of the file tools, as they travel."""

from __future__ import annotations

from pydantic import Field

from codebuddy.tool import Arguments, Result
from codebuddy.workspace.matches import Match
from codebuddy.workspace.paths import printable
from codebuddy.workspace.search import Listed
from codebuddy.workspace.text import Encoding, LineEnding

__all__ = [
    "FindArguments",
    "FindResult",
    "ListArguments",
    "ListResult",
    "ManyResult",
    "ReadArguments",
    "ReadResult",
    "SearchArguments",
    "SearchResult",
    "Unavailable",
]

PATH = "Workspace path: <project>/<path in the project>, like project-a/src/main.ts."
PROJECTS = "Ids of the projects to look in; left out: every project that the token covers."
CURSOR = "From an answer that was truncated: goes on where that one ended; repeat its other arguments."
IGNORED = "Also what .gitignore hides. (.git itself is never shown.)"
HASH = r"^(sha256:[0-9a-f]{64}|absent)$"
EXPECTED = "The hash that read_file gave: nothing is written if the file changed since. 'absent': only create it."


class ReadArguments(Arguments):
    """A file, or some of its lines."""

    path: str = Field(description=PATH)
    start_line: int | None = Field(None, ge=1, description="First line, 1-based.")
    end_line: int | None = Field(None, ge=1, description="Last line, inclusive.")


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
        """Give the content below one line that says what of the file it is."""
        cut = "; truncated, go on with start_line=" + str(self.end_line + 1) if self.truncated else ""
        lines = f"lines {self.start_line}-{self.end_line} of {self.total_lines}"
        return f"{printable(self.path)} ({lines}{cut}; {self.hash})\n{self.content}"


class ListArguments(Arguments):
    """A directory and how deep to look."""

    path: str = Field(description="Workspace path of a directory; a project's id alone is its root.")
    depth: int = Field(1, ge=1, le=100, description="Levels to show; 1 is the directory's own entries.")
    include_ignored: bool = Field(False, description=IGNORED)
    limit: int = Field(500, ge=1, le=2000, description="Entries at most.")
    cursor: str | None = Field(None, description=CURSOR)
    timeout_seconds: float = Field(10.0, gt=0, le=60)


class FindArguments(Arguments):
    """A glob over file paths."""

    pattern: str = Field(
        min_length=1,
        max_length=1000,
        description="Glob over the path in the project: *, ?, [a-z], {ts,tsx}; ** crosses directories. Without a slash "
        "it is matched with the file's name at any depth.",
    )
    projects: list[str] | None = Field(None, min_length=1, description=PROJECTS)
    include_ignored: bool = Field(False, description=IGNORED)
    limit: int = Field(500, ge=1, le=2000, description="Files at most.")
    cursor: str | None = Field(None, description=CURSOR)
    timeout_seconds: float = Field(10.0, gt=0, le=60)


class SearchArguments(Arguments):
    """A text or regular expression over the contents of files."""

    pattern: str = Field(min_length=1, max_length=1000, description="What to look for.")
    regex: bool = Field(
        False, description="The pattern is a regular expression (RE2), matched within lines unless it contains \\n."
    )
    case_sensitive: bool = True
    include: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Glob of the files to search, as in find_files, like *.{ts,tsx}.",
    )
    context_lines: int = Field(0, ge=0, le=20, description="Lines to give before and after each match.")
    projects: list[str] | None = Field(None, min_length=1, description=PROJECTS)
    include_ignored: bool = Field(False, description=IGNORED)
    limit: int = Field(100, ge=1, le=1000, description="Matches at most.")
    cursor: str | None = Field(None, description=CURSOR)
    timeout_seconds: float = Field(10.0, gt=0, le=60)


class Unavailable(Result):
    """A project that could not be looked into."""

    project: str
    code: str
    message: str


class ManyResult(Result):
    """What all answers with many items have in common.

    Args:
        truncated: there is or may be more.
        reason: why: limit, timed_out, too_many_entries, too_much_text, project_unavailable.
        cursor: gives the rest; None when there is none that a cursor could give.
        skipped: how many files or directories were left out, by reason: ignored, binary_file, unsupported_encoding,
            too_large, too_costly, unreadable, not_a_file.
        unavailable: projects that could not be looked into.
    """

    truncated: bool
    reason: str | None = None
    cursor: str | None = None
    skipped: dict[str, int] | None = None
    unavailable: list[Unavailable] | None = None

    def lines(self) -> list[str]:
        """Give the items as readable lines."""
        raise NotImplementedError

    def text(self) -> str:
        """Give the items, and below them what is missing and why."""
        notes = []
        if self.truncated:
            notes.append(f"truncated ({self.reason}){'; go on with the cursor' if self.cursor else ''}")
        if self.skipped:
            notes.append("left out: " + ", ".join(f"{number} {name}" for name, number in sorted(self.skipped.items())))
        notes += [f"{project.project}: {project.message}" for project in self.unavailable or ()]
        items = self.lines() or ["nothing found"]
        return "\n".join([*items, *(f"[{note}]" for note in notes)])


class ListResult(ManyResult):
    """Entries of a directory, depth first, names in order."""

    path: str
    entries: list[Listed]

    def lines(self) -> list[str]:
        """Give one path a line; directories end in a slash, links in @."""
        marks = {"directory": "/", "link": "@", "other": "?"}
        return [
            printable(one.path) + marks.get(one.type, "") + ("" if one.size is None else f"  {one.size} B")
            for one in self.entries
        ]


class FindResult(ManyResult):
    """Workspace paths of files."""

    paths: list[str]

    def lines(self) -> list[str]:
        """Give one path a line."""
        return [printable(path) for path in self.paths]


class SearchResult(ManyResult):
    """Matches in order of project, path and place."""

    matches: list[Match]

    def lines(self) -> list[str]:
        """Give ``path:line:column: text``, with context lines as ``path-line- text``."""
        return [line for match in self.matches for line in _lines_of(match)]


def _lines_of(match: Match) -> list[str]:
    path, before = printable(match.path), match.before or []
    first = match.line - len(before)
    around = [f"{path}-{first + index}- {line}" for index, line in enumerate(before)]
    behind = [f"{path}-{match.end_line + 1 + index}- {line}" for index, line in enumerate(match.after or [])]
    return [*around, f"{path}:{match.line}:{match.column}: {match.line_text}", *behind]
