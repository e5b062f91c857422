"""Formatting: of a file as it is on the disk, as changes to make; and of a text before it is written."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from codebuddy.agent.code import answers
from codebuddy.agent.code.answers import Answer, Malformed, NoAnswer, validated
from codebuddy.agent.code.asking import Question, ServerQuestion, ask_of_text, request, run_exchange
from codebuddy.agent.code.workspace_edits import (
    EditContext,
    Source,
    TextEdits,
    changes_of,
    range_edits,
    read_source,
    source_of,
)
from codebuddy.agent.lsp.connection import Connection
from codebuddy.agent.lsp.documents import Document, StaleText
from codebuddy.agent.lsp.readiness import Report
from codebuddy.agent.lsp.servers import LanguageServers
from codebuddy.files.text import apply_range_edits
from codebuddy.schemas.code import FormattedText, FormatTextArguments, PlanFormatArguments, PlannedChanges
from codebuddy.schemas.files import FileChange
from codebuddy.tool import ToolError

_METHOD: Final = "textDocument/formatting"
_REMEDY: Final = "declare one that formats in language_servers, such as ruff for Python"

# What no formatter leaves as it is. If a server gives no edits for a text with this at its end either, it cannot read
# the text (many servers hide syntax errors), or has no formatter behind it.
_DISORDER: Final = "\n  \n\n\n"


async def plan_format(servers: LanguageServers, arguments: PlanFormatArguments, report: Report) -> PlannedChanges:
    """Return what formatting a file would change: no more than differs, for the bytes that the server saw."""
    path = servers.tree.locate(arguments.path)
    read_source(servers.tree.read(path)[0], arguments.path)
    question = Question.begin(servers, arguments.timeout_seconds, report)
    try:
        asked = await question.choose(path, _METHOD)
        changes = await question.persist(_Formatting(asked, path).plan)
    except NoAnswer as none:
        answer = none.answer
        if answer.reason == "unsupported":
            answer = Answer.lacking("unsupported", f"{answer.message} To have such files formatted, {_REMEDY}.")
        return PlannedChanges(**answer.completeness(), changes=[])
    return PlannedChanges(complete=True, changes=changes, server=asked.server.config.name)


async def format_text(servers: LanguageServers, arguments: FormatTextArguments, report: Report) -> FormattedText:
    """Return a text as the formatter of its file would have it; nothing is written, and the file need not be there."""
    path = servers.tree.locate(arguments.path)
    question = Question.begin(servers, arguments.timeout_seconds, report)
    serving = servers.serving(path, "format")
    if not serving:
        return _nobody_formats(servers, path)
    name = serving[0].config.name
    try:
        asked = await question.choose_from(serving, _METHOD)
        name = asked.server.config.name
        content = await _Formatting(asked, path).text(arguments.content)
    except NoAnswer as none:
        if none.answer.reason == "unsupported":
            return _nobody_formats(servers, path)
        return FormattedText(**none.answer.completeness(), served=True, server=name)
    same = content == arguments.content
    return FormattedText(complete=True, served=True, content=None if same else content, server=name)


def _nobody_formats(servers: LanguageServers, path: Path) -> FormattedText:
    """Return the answer about a file that has no server at all, or none that formats."""
    names = servers.names_for(path)
    if not names:
        return FormattedText(complete=True, served=False)
    message = f"none of its language servers ({', '.join(names)}) formats; {_REMEDY}."
    return FormattedText(**Answer.lacking("unsupported", message).completeness(), served=True)


@dataclass(frozen=True)
class _Formatting:
    """Formatting of a file by a server."""

    asked: ServerQuestion
    path: Path

    async def plan(self) -> list[FileChange]:
        """Return the changes."""
        tree, seen = self.asked.server.tree, list[Document]()

        async def exchange(connection: Connection, document: Document) -> Any:
            seen[:] = [document]
            # In a tuple: no edits from a server that loads are not waited over, but looked into by ourselves.
            return (await self._request(connection, document),)

        answer = await run_exchange(self.asked, self.path, exchange, local=True)
        if answer.result is None:
            raise NoAnswer(answer)
        (result,) = answer.result
        source = read_source(tree.read(self.path)[0], tree.show(self.path))
        lines = answer.lines.get(self.path)
        if lines != source.lines or seen[0].digest != source.hash:
            raise StaleText(tree.show(self.path))
        edits = self._read(result, source)
        if not edits:
            await self._require_formatter("\n".join(source.lines))
        step = TextEdits(self.path, self.path, [], edits)
        with _refusing():
            return changes_of([step], {self.path: source}, EditContext(tree, answer.encoding))

    async def text(self, content: str) -> str:
        """Format a text."""
        answer = await self._overlaid(content)
        source = source_of(content)
        edits = self._read(answer.result, source)
        if not edits:
            await self._require_formatter(content)
            return content
        step = TextEdits(self.path, self.path, [], edits)
        with _refusing():
            found = range_edits(step, source, EditContext(self.asked.server.tree, answer.encoding))
        return apply_range_edits(content, found)

    async def _request(self, connection: Connection, document: Document) -> Any:
        options = {**indentation(document.lines), "trimTrailingWhitespace": True}
        params = {"textDocument": {"uri": document.uri}, "options": options}
        return await request(connection, _METHOD, params, self.asked.deadline)

    async def _overlaid(self, content: str) -> Answer:
        """Ask with a text that is not on the disk."""
        answer = await ask_of_text(self.asked, self.path, content, self._request)
        if answer.reason is not None:
            raise NoAnswer(answer)
        return answer

    async def _require_formatter(self, content: str) -> None:
        """See that a server which changes nothing would change something where it must."""
        if not content.strip():
            return
        answer = await self._overlaid(content + _DISORDER)
        if not answer.result:
            name = self.asked.server.config.name
            message = f"{name} cannot format it: it has a syntax error, or {name} has no formatter for such a file."
            raise NoAnswer.because("server_error", message)

    def _read(self, result: Any, source: Source) -> list[answers.TextEdit]:
        """Read the server's edits."""
        with _refusing():
            edits = validated(answers.TEXT_EDITS, result or [], "an edit")
            # An end behind the text's is common, and means that; a beginning there is of another text.
            if any(edit.range["start"]["line"] > len(source.lines) for edit in edits):
                raise Malformed(f"an edit behind the end of the text, which has {len(source.lines)} lines")
            return edits


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn what is wrong with a server's edits into `NoAnswer`."""
    try:
        yield
    except ToolError as error:
        raise Malformed(error.message) from None


def indentation(lines: Sequence[str]) -> dict[str, int | bool]:
    """Return ``tabSize`` and ``insertSpaces`` as a text has them (LSP 3.17, "FormattingOptions")."""
    widths = [re.match(r"[\t ]*", line)[0] for line in lines if line.strip()]  # type: ignore[index]  # always matches
    tabs, spaces = (sum(width.startswith(kind) for width in widths) for kind in ("\t", "  "))
    if tabs > spaces:
        return {"tabSize": 4, "insertSpaces": False}
    steps = Counter(len(after) - len(before) for before, after in pairwise(widths))
    size = max((2, 4, 8, 3), key=lambda step: steps[step]) if spaces else 4
    return {"tabSize": size if steps[size] else 4, "insertSpaces": True}
