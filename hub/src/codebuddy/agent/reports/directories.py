"""Which directories the paths in a run's output may be relative to, by what make, Ninja, npm, pnpm and Yarn print."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple


class Package(NamedTuple):
    """A package of npm, pnpm or Yarn, as far as the output tells which one; its directory is to be looked up."""

    name: str  # with or without its version; empty where the output has none
    script: str = ""
    command: str = ""  # of the script, perhaps with arguments behind it


Base = str | Package
"""A directory; a relative one is below the run's working directory."""

ANY_PACKAGE: Final = Package("*")
"""Any package of the project: pnpm and Yarn may run scripts of several without saying where."""

# GNU Make manual, "The -w Option". All but the outermost make have a number.
_ENTERED = re.compile(r"([\w./-]{0,200}make(?:\[[0-9]{1,4}\])?|ninja): Entering directory [`'](.{1,4096})'\Z")
_SCRIPT = re.compile(r"> (?:(\S{1,500}) )?(\S{1,500})(?: (/.{1,4096}))?\Z")  # pnpm adds the directory
_PNPM_SCRIPT = re.compile(r"(\S{1,200}) \S{1,200}\$ ")
_PNPM_LINE = re.compile(r"\S{1,200} \S{1,200}: ?")
_YARN_LINE = re.compile(r"\[(@?[\w.~/-]{1,200})\]: ")

_SCRIPT_RUNNERS = frozenset({"npm", "pnpm", "yarn", "bun", "lerna", "nx", "turbo"})
_SILENT = frozenset({"lerna", "nx", "turbo"})
_SILENT_IF_SELECTING = frozenset({"pnpm", "yarn", "bun"})
_SELECTING = frozenset({"foreach", "workspace", "workspaces", "--recursive", "-r", "--filter", "-F", "--dir", "-C"})
_RUNNING_OTHERS = frozenset({"exec", "x", "dlx"})  # what these run is no script, and works where it is called
_WORD = re.compile(r"[^\s'\"`;|&()=<>]{1,4096}")
_COMMAND_END = re.compile(r"[;&|]{1,2}")
_MAX_BASES = 1000
_MAX_LINE = 5000
_MAX_MANIFEST = 2**20  # bytes
_MAX_OUTER = 20


@dataclass(slots=True)
class _StreamState:
    """The scripts that a stream announces."""

    lines: tuple[str, str] = ("", "")  # the last two
    outer: list[Base] = field(default_factory=list)  # scripts that call npm, and do more than that
    command: str = ""  # of the script announced last
    scripts: tuple[Base, ...] = ()  # those that may be running
    bases: tuple[Base, ...] = ()
    bases_of: int = 0  # how many directories make had entered by then


class Directories:
    """Follows the output of a run.

    The order of lines counts within a stream only: what make prints on standard output may arrive before or after what
    a compiler prints on standard error. With ``make -j`` it says nothing at all, so every directory that make enters is
    a candidate until the end; the quoted line tells which one it is.

    Args:
        argv: the run's command line.
        root: the directory it runs in.
    """

    def __init__(self, argv: Sequence[str], root: Path) -> None:
        self._root = str(root)
        words = [word for part in argv[:_MAX_BASES] for word in _WORD.findall(part[:65536])][:_MAX_BASES]
        self._in_argv = dict.fromkeys(base for word in words if (base := self._base_of(word)))
        self._program = os.path.basename(argv[0]) if argv else ""
        self._runs_yarn = "yarn" in words
        if not _SILENT_IF_SELECTING.isdisjoint(words):
            words += _scripts_of(root)  # any of them may be the one that runs, or be called by it
        self._is_silent = _is_silent(words)
        self._left_root = False
        self._entered: dict[Base, None] = {}
        self._announced: dict[Base, None] = {}
        self._pnpm: dict[str, str] = {}  # directory by prefix
        self._streams: dict[str, _StreamState] = {}

    @property
    def bases(self) -> tuple[Base, ...]:
        """Every candidate for a message on a stream that says nothing about directories; to be read at the end."""
        anywhere = (ANY_PACKAGE,) if self._is_silent else ()
        return tuple(dict.fromkeys((*self._outside(), *self._in_argv, *self._entered, *self._announced, *anywhere)))

    def read(self, stream: str, line: str) -> tuple[str, tuple[Base, ...] | None]:
        """Take a line without terminal escapes.

        Returns: the line without a prefix that names a package, and its candidates; None: see `bases`.
        """
        if ": Entering directory" in line and (entered := _ENTERED.match(line)) is not None:
            self._left_root = self._left_root or entered[1] == self._program
            _add(self._entered, entered[2])
        if (self._pnpm or self._runs_yarn or "$ " in line) and (prefixed := self._read_prefix(line)):
            return line[prefixed[0] :], (prefixed[1],)
        state = self._streams.get(stream)
        if state is None:
            state = self._streams[stream] = _StreamState()
        before, name = state.lines
        script = _announced_script(name, line) if name.startswith("> ") and not before.strip() else None
        state.lines = name, "" if script else line[:_MAX_LINE]
        if script is not None:
            self._begin_script(state, *script)
        if not state.scripts:
            return line, None
        if not state.bases or state.bases_of != len(self._entered):
            state.bases_of = len(self._entered)
            state.bases = tuple(dict.fromkeys((*state.scripts, *self._entered, *self._outside())))
        return line, state.bases

    def _read_prefix(self, line: str) -> tuple[int, Base] | None:
        """Return the length of a prefix of pnpm or Yarn, and the package that it names."""
        if (begun := _PNPM_SCRIPT.match(line)) and os.path.isdir(os.path.join(self._root, begun[1])):
            if len(self._pnpm) < _MAX_BASES:
                self._pnpm[begun[0][:-2]] = begun[1]
                _add(self._announced, begun[1])
        elif (found := _PNPM_LINE.match(line)) and (directory := self._pnpm.get(found[0].rstrip(" :"))) is not None:
            return found.end(), directory
        elif self._runs_yarn and (found := _YARN_LINE.match(line)):
            package = Package(found[1])
            _add(self._announced, package)
            return found.end(), package
        return None

    def _begin_script(self, state: _StreamState, base: Base, command: str) -> None:
        """Take the script that was announced: the one before it has ended, unless that is what called npm."""
        parts = [_WORD.findall(part) for part in _COMMAND_END.split(state.command)]
        calls = [words for words in parts if not _SCRIPT_RUNNERS.isdisjoint(words)]
        only_calls = all(words[0] in _SCRIPT_RUNNERS and _RUNNING_OTHERS.isdisjoint(words) for words in parts if words)
        if calls and not only_calls and len(state.outer) < _MAX_OUTER:
            state.outer.append(state.scripts[-1])
        silent = (ANY_PACKAGE,) if _is_silent(_WORD.findall(command)) else ()
        for one in (*silent, base):
            _add(self._announced, one)
        state.command, state.scripts, state.bases = command, (*state.outer, *silent, base), ()
        self._left_root = self._left_root or self._program in _SCRIPT_RUNNERS

    def _outside(self) -> tuple[Base, ...]:
        """Return the candidates beside those that are printed."""
        return () if self._left_root else (".", *self._in_argv)

    def _base_of(self, word: str) -> Base | None:
        """Return the directory that a word of the command line may name."""
        path = os.path.join(self._root, word)
        if os.path.isdir(path):
            return word
        return os.path.dirname(word) or None if os.path.isfile(path) else None


def _is_silent(words: Iterable[str]) -> bool:
    """Say whether a command with these words may run scripts of any package without saying of which."""
    found = set(words)
    selects = not _SILENT_IF_SELECTING.isdisjoint(found) and not _SELECTING.isdisjoint(found)
    return selects or not _SILENT.isdisjoint(found)


def _scripts_of(root: Path) -> list[str]:
    """Return the words of the scripts in a directory's package.json."""
    try:
        descriptor = os.open(root / "package.json", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            scripts = json.loads(file.read(_MAX_MANIFEST))["scripts"].values()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []
    return [word for script in scripts if isinstance(script, str) for word in _WORD.findall(script)]


def _announced_script(name: str, command: str) -> tuple[Base, str] | None:
    """Return the package and the command of a script that these two lines announce."""
    found = _SCRIPT.match(name)
    if found is None:
        return None
    if command.startswith("> "):
        return found[3] or Package(found[1] or "", found[2], command[2:4096]), command[2:4096]
    if command.startswith("yarn run v1.") and found[1] is None:  # Yarn 1 prints the name, and then what it runs
        return Package(found[2]), ""
    return None


def _add(bases: dict[Base, None], base: Base) -> None:
    if len(bases) < _MAX_BASES:
        bases[base] = None
