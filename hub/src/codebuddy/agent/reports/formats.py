"""The formats that can be read, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from codebuddy.agent.reports.collector import Report
from codebuddy.agent.reports.compilers import GccReader, TscReader
from codebuddy.agent.reports.go import GoReader, GoTestReader, module_of
from codebuddy.agent.reports.junit import read_junit
from codebuddy.agent.reports.linters import BlackReader, MypyReader, PyflakesReader, RuffReader
from codebuddy.agent.reports.pytest import PytestReader
from codebuddy.agent.reports.rust import CargoReader, CargoTestReader
from codebuddy.agent.reports.tap import TapReader


class Reader(Protocol):
    """Reads what a program prints. It raises nothing, whatever that is, and keeps a bounded part of it."""

    def feed(self, line: str) -> None:
        """Take a line without its end, of standard output or standard error, in order of arrival."""

    def finish(self) -> Report:
        """Give what was read; once, after the last line."""


# What makes a reader, from the run's working directory.
FORMATS: Final[Mapping[str, Callable[[Path | None], Reader]]] = {
    "pytest": lambda root: PytestReader(_text(root)),
    "tap": lambda root: TapReader(_text(root)),
    "go-test": lambda root: GoTestReader(module_of(root)),
    "cargo-test": lambda root: CargoTestReader(_text(root)),
    "tsc": lambda _: TscReader(),
    "mypy": lambda _: MypyReader(),
    "ruff": lambda _: RuffReader(),
    "pyflakes": lambda _: PyflakesReader(),
    "black": lambda _: BlackReader(),
    "cargo": lambda _: CargoReader(),
    "go": lambda _: GoReader(),
    "gcc": lambda _: GccReader(),
}

# Those that are not printed, but written to a file.
FILE_FORMATS: Final[Mapping[str, Callable[[BinaryIO, Path | None], Report]]] = {"junit": read_junit}

KNOWN_FORMATS: Final[tuple[str, ...]] = (*FILE_FORMATS, *FORMATS)


def reader_for(format: str, root: Path | None = None) -> Reader:  # noqa: A002 - the field's word
    """Give a reader of what a program prints.

    Args:
        format: one of `FORMATS`.
        root: the run's working directory, by which the project's own files are told from those of libraries.

    Raises:
        ValueError: there is no such format, or it is one of `FILE_FORMATS`.
    """
    make = FORMATS.get(format)
    if make is None:
        raise ValueError(f"{format!r} is no format of printed output; those are {', '.join(FORMATS)}")
    return make(root)


def read_file_report(format: str, file: BinaryIO, root: Path | None = None) -> Report:  # noqa: A002
    """Read the report that a program wrote to a file.

    Args:
        format: one of `FILE_FORMATS`.
        file: opened for reading of bytes.
        root: the run's working directory, by which the project's own files are told from those of libraries.

    Raises:
        ValueError: there is no such format.
    """
    read = FILE_FORMATS.get(format)
    if read is None:
        raise ValueError(f"{format!r} is no format of a file; those are {', '.join(FILE_FORMATS)}")
    return read(file, root)


def _text(root: Path | None) -> str | None:
    return None if root is None else str(root)
