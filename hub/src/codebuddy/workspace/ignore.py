"""The ignore rules of a project: its ``.gitignore`` files, as git applies them.

The files are hostile input: they are read confined and bounded, and matched with RE2 only. A rule that cannot be read
    or
compiled is dropped: what it would have hidden is then shown, never the other way round.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from dataclasses import dataclass
from functools import lru_cache

import re2
from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore import GitIgnorePatternError

from codebuddy.workspace.confinement import READ_FLAGS
from codebuddy.workspace.paths import to_wire

__all__ = ["IgnoreRules"]

# Compiling a rule takes some 50 µs, and a project may have such a file in every directory.
_MAX_BYTES = 64 * 1024
_MAX_RULES = 1000
_MAX_RULE_CHARS = 256
_REFUSED = (GitIgnorePatternError, re.error, re2.error, UnicodeEncodeError)


@dataclass(frozen=True)
class IgnoreRules:
    """The rules that hold in a directory: one set for each directory above it that has a ``.gitignore``, outermost
    first.

    Args:
        levels: (number of path parts of the directory that the rules belong to, the rules).
    """

    levels: tuple[tuple[int, GitIgnoreSpec], ...] = ()

    def entering(self, directory: int, depth: int) -> IgnoreRules:
        """Add the rules of a directory.

        Args:
            directory: its descriptor.
            depth: number of its path parts, counted from the project's root.
        """
        spec = _read(directory)
        return self if spec is None else IgnoreRules((*self.levels, (depth, spec)))

    def hides(self, parts: tuple[str, ...], is_directory: bool) -> bool:
        """Say whether a path is ignored, assuming that the directories above it are not."""
        for depth, spec in reversed(self.levels):
            relative = "/".join(to_wire(part) for part in parts[depth:])
            verdict = spec.check_file(relative + "/" if is_directory else relative).include
            if verdict is not None:
                return verdict
        return False


def _read(directory: int) -> GitIgnoreSpec | None:
    try:
        # git itself does not follow a .gitignore that is a link.
        fd = os.open(".gitignore", READ_FLAGS | os.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return _rules(os.read(fd, _MAX_BYTES))
    except OSError:
        return None
    finally:
        os.close(fd)


@lru_cache(maxsize=16)  # few: a compiled set may hold 8 MB
def _rules(data: bytes) -> GitIgnoreSpec | None:
    lines = data.decode("utf-8", "replace").split("\n")
    if len(data) == _MAX_BYTES:
        lines.pop()  # probably cut, and so another rule than was meant
    lines = [line.rstrip("\r") for line in lines if len(line) <= _MAX_RULE_CHARS][:_MAX_RULES]
    return _compile(lines) or _compile([line for line in lines if _compile([line])])


def _compile(lines: list[str]) -> GitIgnoreSpec | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Python's re about sets like [[a]; RE2 does the matching
            return GitIgnoreSpec.from_lines(lines, backend="re2")
    except _REFUSED:
        return None
