"""The report formats that can be read, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from codebuddy.agent.reports.collector import Reader, Report
from codebuddy.agent.reports.compilers import GccReader, TscReader
from codebuddy.agent.reports.go import GoReader, GoTestReader
from codebuddy.agent.reports.javascript import BiomeReader, EslintReader
from codebuddy.agent.reports.junit import read_junit
from codebuddy.agent.reports.linters import (
    BasedpyrightReader,
    BlackReader,
    MypyReader,
    PyflakesReader,
    PyrightReader,
    RuffReader,
    TyReader,
)
from codebuddy.agent.reports.pytest import PytestReader
from codebuddy.agent.reports.rust import CargoReader, CargoTestReader
from codebuddy.agent.reports.tap import TapReader

# Formats that a program prints.
FORMATS: Final[Mapping[str, type[Reader]]] = {
    "pytest": PytestReader,
    "tap": TapReader,
    "go-test": GoTestReader,
    "cargo-test": CargoTestReader,
    "tsc": TscReader,
    "mypy": MypyReader,
    "ty": TyReader,
    "pyright": PyrightReader,
    "basedpyright": BasedpyrightReader,
    "ruff": RuffReader,
    "pyflakes": PyflakesReader,
    "black": BlackReader,
    "eslint": EslintReader,
    "biome": BiomeReader,
    "cargo": CargoReader,
    "go": GoReader,
    "gcc": GccReader,
}

# Formats that a program writes to a file.
FILE_FORMATS: Final[Mapping[str, Callable[[BinaryIO, Path | None, int | None], Report]]] = {"junit": read_junit}

KNOWN_FORMATS: Final[tuple[str, ...]] = (*FILE_FORMATS, *FORMATS)


def reader_for(format_name: str, root: Path | None = None) -> Reader:
    """Return a reader of what a program prints in the working directory `root`.

    Raises:
        ValueError: there is no such printed format.
    """
    if format_name not in FORMATS:
        raise ValueError(f"{format_name!r} is no format of printed output; those are {', '.join(FORMATS)}")
    return FORMATS[format_name](root)


def read_file_report(
    format_name: str, file: BinaryIO, root: Path | None = None, exit_code: int | None = None
) -> Report:
    """Read the report that a program, run in the working directory `root`, wrote to a file before it exited.

    Raises:
        ValueError: there is no such file format.
    """
    if format_name not in FILE_FORMATS:
        raise ValueError(f"{format_name!r} is no format of a file; those are {', '.join(FILE_FORMATS)}")
    return FILE_FORMATS[format_name](file, root, exit_code)
