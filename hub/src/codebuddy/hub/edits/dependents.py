"""Files that may use what an edit changes, by the names of modules and definitions: errors may appear there too."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final

from codebuddy.files.confinement import Workspaces
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import decode, read_bytes
from codebuddy.files.walking import Bounds, Walk
from codebuddy.hub.edits.draft import Change
from codebuddy.tool import ToolError

MAX_DEPENDENTS: Final = 50
_MAX_WORDS: Final = 30
_SECONDS: Final = 3.0

_LANGUAGES: Final = (
    (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"),
    (".py", ".pyi"),
    (".rs",),
    (".go",),
    (".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx"),
)
# A module in such a file has the name of its directory.
_NAMELESS: Final = frozenset(["index", "__init__", "mod", "lib", "main"])
_IMPORTS: Final = re.compile(r"\b(import|from|require|use|mod|include|export)\b|^\s*(\w+\s+)?\"[^\"]*\"\s*$")
# A name that is defined: by a keyword, by an assignment at the beginning of a line, or as a function with a body.
_DEFINED: Final = re.compile(
    r"\b(?:def|class|function|type|interface|enum|namespace|fn|struct|trait|union|define|using)[ \t]+(\w{3,80})"
    r"|\bfunc (?:\([^)\n]{0,80}\) )?(\w{3,80})"
    r"|^(?:export )?(?:const |let |var )?(\w{3,80})[ \t]*(?::[^=\n]{0,80})?=(?!=)"
    r"|(?<!\w)(?!(?:if|for|while|switch|catch)\b)(\w{3,80})\([^)\n]{0,200}\)[^\n;{}()]{0,80}\{",
    re.MULTILINE,
)


@dataclass
class Dependents:
    """Files to check beside those of an edit, by project, and why there may be more."""

    files: dict[str, list[str]] = field(default_factory=dict)
    cut: str | None = None


def find_dependents(workspaces: Workspaces, changes: Sequence[Change]) -> Dependents:
    """Find the files of the same language that may use what is changed; those that import come first."""
    deadline, result = time.monotonic() + _SECONDS, Dependents()
    edited = {path for change in changes for path in (change.source, change.target) if path is not None}
    for project, suffixes, words in _searches(workspaces, changes):
        walk = Walk(workspaces.root(project), WorkspacePath(project), Bounds(deadline))
        pattern = re.compile(rf"(?<![\w$])(?:{'|'.join(map(re.escape, words))})(?![\w$])")
        found: list[tuple[bool, str]] = []
        with closing(walk.entries()) as entries:
            for entry in entries:
                path = WorkspacePath(project, entry.parts)
                if entry.kind == "file" and path.relative.endswith(suffixes) and path not in edited:
                    with suppress(OSError, ToolError):  # what cannot be read uses nothing
                        text = decode(entry.read(), path).content
                        lines = [line for line in text.splitlines() if pattern.search(line)]
                        found += [(not any(map(_IMPORTS.search, lines)), str(path))] if lines else []
        if walk.reason is not None:
            result.cut = f"Not all files of {project} that may use what was edited were looked for: it has too many."
        if len(found) > MAX_DEPENDENTS:
            result.cut = f"{len(found)} files of {project} may use what was edited; {MAX_DEPENDENTS} were checked."
        result.files.setdefault(project, []).extend(path for _, path in sorted(found)[:MAX_DEPENDENTS])
    return result


def _searches(workspaces: Workspaces, changes: Iterable[Change]) -> list[tuple[str, tuple[str, ...], list[str]]]:
    """Return what to look for: project, the ends of file names, and words."""
    words: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for change in changes:
        for path in (change.source, change.target):
            suffixes = next((group for group in _LANGUAGES if path and path.relative.endswith(group)), None)
            if path is not None and suffixes is not None:
                known = words.setdefault((path.project, suffixes), {})
                known |= dict.fromkeys([*_module(path), *_changed_names(workspaces, change)])
    return [(project, suffixes, list(known)[:_MAX_WORDS]) for (project, suffixes), known in words.items()]


def _module(path: WorkspacePath) -> list[str]:
    """Return the word by which other files name a file, if there is one."""
    stem, _, suffix = path.parts[-1].partition(".")
    return list(path.parts[-2:-1]) if stem in _NAMELESS or suffix == "go" else [stem]


def _changed_names(workspaces: Workspaces, change: Change) -> list[str]:
    """Return the names whose definitions an edit removes or adds: others may use them without naming the file."""
    before = after = b""
    try:
        if change.source is not None:
            before = read_bytes(workspaces.root(change.source.project), change.source)
        if change.target is not None:
            content = change.after.content if change.after is not None else None
            after = before if content is None else content
        paths = change.source, change.target
        had, has = (set(_defined(decode(*one).content)) for one in zip((before, after), paths, strict=True))
    except (OSError, ToolError):
        return []  # it is no text
    return sorted(had ^ has, key=lambda name: (name in has, name))


def _defined(text: str) -> Iterator[str]:
    for match in _DEFINED.finditer(text):
        yield next(filter(None, match.groups()))
