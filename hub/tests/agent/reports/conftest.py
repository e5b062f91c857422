"""Readers over recorded output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from codebuddy.agent.reports.collector import Report
from codebuddy.agent.reports.formats import FILE_FORMATS, read_file_report, reader_for

RECORDED = Path(__file__).parent / "recorded"
RAN_IN = {"files.txt": "files", "node-files.xml": "files", "node-nested.xml": "short", "passing.txt": "passing"}


@pytest.fixture
def read() -> Callable[..., Report]:
    """Return a function that reads text in a format."""

    def _read(format_name: str, text: str, root: Path | None = None) -> Report:
        reader = reader_for(format_name, root)
        for line in text.split("\n"):
            reader.feed(line)
        return reader.finish()

    return _read


@pytest.fixture
def recorded(read: Callable[..., Report], tmp_path: Path) -> Callable[[str], Report]:
    """Return a function that reads a recording, named by format and file, with the directory that it was made in."""

    def _recorded(name: str) -> Report:
        format_name, _, file = name.partition("/")
        root = Path("/workspace") / RAN_IN.get(file, "collection" if "collection" in file else "mixed")
        if format_name in FILE_FORMATS:
            with (RECORDED / name).open("rb") as stream:
                return read_file_report(format_name, stream, root)
        if format_name == "go-test":
            root = tmp_path
            module = "go-cli" if file == "passing.txt" else "mixed"
            (root / "go.mod").write_text(f"// A module.\nmodule example.org/{module}\n\ngo 1.24\n")
        return read(format_name, (RECORDED / name).read_text(encoding="utf-8"), root)

    return _recorded
