"""A project of a few files, and a fake language server for it that follows a script."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.diagnostics import diagnose
from codebuddy.agent.code.hover import completions, hover, signature_help
from codebuddy.agent.code.moves import plan_move
from codebuddy.agent.code.navigation import (
    call_hierarchy,
    document_symbols,
    find_definition,
    find_implementations,
    find_references,
    find_symbols,
    type_hierarchy,
)
from codebuddy.agent.code.rename import plan_rename
from codebuddy.agent.lsp.config import read_server_configs
from codebuddy.agent.lsp.servers import LanguageServer, LanguageServers, Timeouts
from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.schemas.code import (
    CallHierarchyArguments,
    CaretArguments,
    CompletionArguments,
    Completions,
    DiagnosticsArguments,
    DiagnosticsResult,
    DocumentSymbolsArguments,
    FindSymbolsArguments,
    FoundSymbols,
    Hierarchy,
    HoverArguments,
    HoverResult,
    LocationsResult,
    PlaceArguments,
    PlanMoveArguments,
    PlannedMove,
    PlannedRename,
    ReferencesArguments,
    ReferencesResult,
    RenameArguments,
    SignatureHelp,
    SymbolsOfFile,
    TypeHierarchyArguments,
)
from codebuddy.schemas.server_description import ReadyBy

#: What the fake server announces unless a test says otherwise; None in a test takes one away.
CAPABILITIES: dict[str, Any] = {
    "definitionProvider": True,
    "referencesProvider": {},
    "implementationProvider": True,
    "documentSymbolProvider": True,
    "hoverProvider": True,
    "completionProvider": {"resolveProvider": True},
    "signatureHelpProvider": {},
    "callHierarchyProvider": True,
    "typeHierarchyProvider": True,
    "workspaceSymbolProvider": True,
}

FAKE = Path(__file__).with_name("fake_server.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "main.py").write_text("from shop import open_shop\nopen_shop()\n")
    (root / "shop.py").write_text("def open_shop():\n    return 1\n")
    return root


@dataclass
class Fake:
    """A running fake server, what was sent to it, and the questions that can be asked."""

    servers: LanguageServers
    log: Path
    reports: list[str] = field(default_factory=list)

    async def report(self, message: str) -> None:
        self.reports.append(message)

    async def definition(self, **place: Any) -> LocationsResult:
        return await find_definition(self.servers, _place(place), self.report)

    async def implementations(self, **place: Any) -> LocationsResult:
        return await find_implementations(self.servers, _place(place), self.report)

    async def references(self, **given: Any) -> ReferencesResult:
        place = {} if {"path", "symbol"} & set(given) else {"path": "p/main.py", "line": 2, "column": 1}
        arguments = ReferencesArguments(**{"timeout_seconds": 10.0, **place, **given})
        return await find_references(self.servers, arguments, self.report)

    async def find_symbols(self, query: str, **given: Any) -> FoundSymbols:
        return await find_symbols(self.servers, FindSymbolsArguments(query=query, **_in_time(given)), self.report)

    async def hover(self, **given: Any) -> HoverResult:
        return await hover(self.servers, HoverArguments(**_at_call(given)), self.report)

    async def completions(self, **given: Any) -> Completions:
        return await completions(self.servers, CompletionArguments(**_at_call(given)), self.report)

    async def signature_help(self, **given: Any) -> SignatureHelp:
        return await signature_help(self.servers, CaretArguments(**_at_call(given)), self.report)

    async def calls(self, **given: Any) -> Hierarchy:
        arguments = CallHierarchyArguments(**{"direction": "incoming", **_at_call(given)})
        return await call_hierarchy(self.servers, arguments, self.report)

    async def types(self, **given: Any) -> Hierarchy:
        arguments = TypeHierarchyArguments(**{"direction": "subtypes", **_at_call(given)})
        return await type_hierarchy(self.servers, arguments, self.report)

    async def symbols(self, **given: Any) -> SymbolsOfFile:
        arguments = DocumentSymbolsArguments(**{"path": "p/main.py", "timeout_seconds": 10.0, **given})
        return await document_symbols(self.servers, arguments, self.report)

    async def diagnostics(self, **arguments: Any) -> DiagnosticsResult:
        return await diagnose(self.servers, DiagnosticsArguments(**arguments), self.report)

    async def rename(self, **given: Any) -> PlannedRename:
        place = {} if {"path", "name"} & set(given) else {"path": "p/main.py", "line": 2, "column": 1}
        arguments = RenameArguments(**{"new_name": "enter", "timeout_seconds": 10.0, **place, **given})
        return await plan_rename(self.servers, arguments, self.report)

    async def move(self, source: str, target: str, **given: Any) -> PlannedMove:
        arguments = PlanMoveArguments(source=source, target=target, **_in_time(given))
        return await plan_move(self.servers, arguments, self.report)

    @property
    def server(self) -> LanguageServer:
        found = self.servers.server_for(self.servers.tree.root / "main.py")
        assert found is not None
        return found

    def sent(self, method: str | None = None) -> list[dict[str, Any]]:
        """Return the messages that the server got; without a method, the answers to its own requests."""
        messages = [json.loads(line)["message"] for line in self._lines()]
        return [message for message in messages if message.get("method") == method]

    def processes(self) -> list[int]:
        return list(dict.fromkeys(json.loads(line)["pid"] for line in self._lines()))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fail when it does not come true."""
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.01)

    def _lines(self) -> list[str]:
        text = self.log.read_text() if self.log.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()  # a line that is being written is none yet


def _in_time(given: dict[str, Any]) -> dict[str, Any]:
    return {"timeout_seconds": 10.0, **given}


def _at_call(given: dict[str, Any]) -> dict[str, Any]:
    """Return a place: where ``open_shop`` is called, unless it is given."""
    return _in_time({"path": "p/main.py", "line": 2, **({} if "text" in given else {"column": 1}), **given})


def _place(given: dict[str, Any]) -> PlaceArguments:
    return PlaceArguments(**{"path": "p/main.py", "line": 2, "column": 1, "timeout_seconds": 10.0, **given})


@dataclass(frozen=True)
class Wire:
    """What a server may say of the project's files, as the protocol writes it."""

    root: Path

    def uri(self, name: str) -> str:
        return uri_of(Tree("p", self.root).root / name)

    def span(self, line: int, start: int, end: int) -> dict[str, Any]:
        return {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}

    def place(self, name: str, line: int, start: int, end: int) -> dict[str, Any]:
        return {"uri": self.uri(name), "range": self.span(line, start, end)}

    def symbol(self, name: str, line: int, start: int, *children: Any) -> dict[str, Any]:
        whole = self.span(line, start, start + len(name))
        return {"name": name, "selectionRange": whole, "range": whole, "children": children}

    def edit(self, line: int, start: int, end: int, text: str = "enter") -> dict[str, Any]:
        return {"range": self.span(line, start, end), "newText": text}

    def document(self, name: str, version: int | None, *edits: dict[str, Any]) -> dict[str, Any]:
        return {"textDocument": {"uri": self.uri(name), "version": version}, "edits": list(edits)}

    def renamed(self, main: int | None = None, shop: int | None = None) -> dict[str, Any]:
        """Return the right answer to a rename of ``open_shop`` to ``enter``, for versions of the two files."""
        both = (self.edit(0, 17, 26), self.edit(1, 0, 9))
        documents = [self.document("main.py", main, *both), self.document("shop.py", shop, self.edit(0, 4, 13))]
        return {"documentChanges": documents}


@pytest.fixture
def wire(root: Path) -> Wire:
    return Wire(root)


Start = Callable[..., AbstractAsyncContextManager[Fake]]


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Start:
    """Run a fake server by a script, and a second one after it if a test gives its script and capabilities; see
    ``fake_server.py``.
    """

    def declare(name: str, on: dict[str, Any] | None, capabilities: dict[str, Any] | None) -> dict[str, Any]:
        script, log = tmp_path / f"{name}.json", tmp_path / f"{name}.log"
        script.write_text(json.dumps({"on": on or {}, "capabilities": {**CAPABILITIES, **(capabilities or {})}}))
        command = [sys.executable, str(FAKE), str(script), str(log)]
        return {"name": name, "command": command, "languages": {"*.py": "python"}}

    @asynccontextmanager
    async def started(
        on: dict[str, Any] | None = None,
        capabilities: dict[str, Any] | None = None,
        ready: ReadyBy = "immediate",
        timeouts: Timeouts | None = None,
        second: tuple[dict[str, Any], dict[str, Any]] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Fake]:
        raw = [{**declare("fake", on, capabilities), "ready": ready, **settings}]
        raw += [declare("second", *second)] if second else []
        timeouts = timeouts or Timeouts(first_delay=0.01, longest_delay=0.05, probe=0.5, grace=0.2)
        servers = LanguageServers("p", root, read_server_configs(raw), timeouts)
        running = asyncio.create_task(servers.run())
        try:
            yield Fake(servers, tmp_path / "fake.log")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return started
