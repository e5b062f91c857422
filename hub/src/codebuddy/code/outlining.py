"""The symbols of one file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from codebuddy.code.asking import Answer
from codebuddy.code.naming import symbol_location
from codebuddy.code.pages import paged
from codebuddy.code.questions import Question, file_symbols
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import DocumentSymbolsArguments, SymbolLocation, SymbolsOfFile

__all__ = ["document_symbols"]


async def document_symbols(
    servers: LanguageServers, arguments: DocumentSymbolsArguments, report: Report
) -> SymbolsOfFile:
    """Give the symbols of a file, each before those in it, with where its name and all of it is.

    Raises:
        ToolError: there is no such file.
    """
    path = servers.tree.locate(arguments.path)
    question = Question.begin(servers, arguments.timeout_seconds, report)
    symbols, answer = await question.found(partial(_symbols, question, path))
    page = paged("document_symbols", arguments, symbols, answer)
    return SymbolsOfFile(path=servers.tree.show(path), symbols=page.items, **page.rest)


async def _symbols(question: Question, path: Path) -> tuple[list[SymbolLocation], Answer]:
    symbols, answer = await file_symbols(question, path)
    lines, shown = answer.lines.get(path, [""]), question.servers.tree.show(path)
    return [symbol_location(shown, symbol, lines) for symbol in symbols], answer
