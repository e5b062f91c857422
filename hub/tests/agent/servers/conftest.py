"""The declared language servers of one profile, on a copy of its sample project.

These tests run in a profile's image, which has the servers. They are collected only if the environment says so;
anything that is missing then is a failure and not a skip:

``CODEBUDDY_SERVER_PROFILE``  ``typescript``, ``python`` or ``rust``
``CODEBUDDY_SPOKE_CONFIG``    JSON file with ``language_servers`` as deployed (default: the spoke's own)
``CODEBUDDY_SAMPLE``          directory of the sample project (default: the spoke's workspace)
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.diagnostics import diagnose
from codebuddy.agent.code.navigation import find_definition, find_references
from codebuddy.agent.lsp.config import read_server_configs
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.schemas.code import (
    DiagnosticsArguments,
    DiagnosticsResult,
    LocationsResult,
    PlaceArguments,
    ReferencesArguments,
)

PROFILE = os.environ.get("CODEBUDDY_SERVER_PROFILE")
CONFIG = Path(os.environ.get("CODEBUDDY_SPOKE_CONFIG", "/etc/codebuddy/config.json"))
SAMPLE = Path(os.environ.get("CODEBUDDY_SAMPLE", "/workspace"))

collect_ignore_glob = [] if PROFILE else ["test_*.py"]


@dataclass(frozen=True)
class Sample:
    """Facts about a profile's sample project; places are found by searching its text.

    Args:
        word: a function that is defined in one file and used in others.
        defined_in: the file with its definition.
        definition: the text on the line of the definition.
        used_in: a file that uses it.
        suffix: the ending of source files.
        added: a file to create or extend, and a text with a use of the word after wide characters on its line.
        broken: a text with an error to append to a file, and a part of the diagnostic.
    """

    word: str
    defined_in: str
    definition: str
    used_in: str
    suffix: str
    added: tuple[str, str]
    broken: tuple[str, str]


SAMPLES = {
    "typescript": Sample(
        "processData",
        "src/utils.ts",
        "export function processData",
        "src/index.ts",
        ".ts",
        ("src/added.ts", 'import { processData } from "./utils.ts";\nexport const a = ["👋漢é", processData([])];\n'),
        ('export const wrong: number = "text";\n', "not assignable"),
    ),
    "python": Sample(
        "process_data",
        "src/service/processing.py",
        "def process_data",
        "src/service/app.py",
        ".py",
        ("src/service/added.py", 'from service.processing import process_data\n\na = ["👋漢é", process_data([])]\n'),
        ("print(no_such_name)\n", "no_such_name"),
    ),
    "rust": Sample(
        "process_data",
        "src/lib.rs",
        "pub fn process_data",
        "src/main.rs",
        ".rs",
        ("src/main.rs", '\npub fn added() { println!("👋漢é{:?}", process_data(&[])); }\n'),
        ("pub fn wrong() { let s = String::new(); drop(s); drop(s); }\n", "moved value"),
    ),
}


@dataclass
class Project:
    """A copy of the sample project with running servers, and requests to them."""

    root: Path
    sample: Sample
    servers: LanguageServers

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def place(self, path: str, text: str) -> tuple[int, int]:
        """Return the 1-based line and column of a text that occurs once in a file."""
        before, _, after = self.text(path).partition(text)
        assert after, f"the sample's {path} has no {text!r}"
        return before.count("\n") + 1, len(before) - before.rfind("\n")

    def uses(self) -> list[tuple[str, int, int]]:
        """Return every place of the sample's word in the sources, except in comments and strings."""
        found = []
        for path in sorted(self.root.rglob(f"*{self.sample.suffix}")):
            for number, line in enumerate(path.read_text().split("\n"), 1):
                if not re.match(r"\s*(//|#|\*|/\*)", line):
                    code = re.sub(r'"[^"]*"', lambda string: "_" * len(string[0]), line)
                    columns = [match.start() + 1 for match in re.finditer(rf"\b{self.sample.word}\b", code)]
                    found += [(f"p/{path.relative_to(self.root)}", number, column) for column in columns]
        return found

    async def definition(self, path: str, **place: Any) -> LocationsResult:
        arguments = PlaceArguments(path=f"p/{path}", timeout_seconds=120.0, **place)
        return await find_definition(self.servers, arguments, _report)

    async def references(self, path: str, **place: Any) -> LocationsResult:
        arguments = ReferencesArguments(path=f"p/{path}", timeout_seconds=120.0, **place)
        return await find_references(self.servers, arguments, _report)

    async def diagnostics(self, path: str | None) -> DiagnosticsResult:
        arguments = DiagnosticsArguments(path=f"p/{path}" if path else None, timeout_seconds=120.0)
        return await diagnose(self.servers, arguments, _report)


async def _report(message: str) -> None:
    return None


@pytest.fixture
def anyio_backend() -> str:
    """Repeat the fixture of all tests: only this folder is copied into a spoke."""
    return "asyncio"


@pytest.fixture
def project(tmp_path: Path) -> AbstractAsyncContextManager[Project]:
    assert PROFILE in SAMPLES, f"CODEBUDDY_SERVER_PROFILE must be one of {', '.join(SAMPLES)}, not {PROFILE!r}"
    assert CONFIG.is_file(), f"{CONFIG} is missing: set CODEBUDDY_SPOKE_CONFIG to a file with language_servers"
    sample = SAMPLES[PROFILE]
    assert (SAMPLE / sample.defined_in).is_file(), f"{SAMPLE} is not the {PROFILE} sample: set CODEBUDDY_SAMPLE"
    root = tmp_path / "project"
    shutil.copytree(SAMPLE, root, ignore=shutil.ignore_patterns("target", "node_modules", ".git"))
    raw = json.loads(CONFIG.read_text())
    configs = read_server_configs(raw["language_servers"], raw.get("environment", {}))
    for config in configs:
        assert shutil.which(config.command[0]), f"{config.command[0]} is not in PATH: run this in the profile's image"

    @asynccontextmanager
    async def running() -> AsyncIterator[Project]:
        servers = LanguageServers("p", root, configs)
        task = asyncio.create_task(servers.run())
        try:
            yield Project(root, sample, servers)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return running()
