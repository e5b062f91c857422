"""Formatting what is written, before it is: each text of an edit by the language server of its project.

A formatter never stops a write. Where it fails, the text is written as it was given, and the answer tells why.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from codebuddy.edits.plan import Change, Plan
from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import Text, decode, encode
from codebuddy.links.registry import Links
from codebuddy.schemas.code import FormattedText
from codebuddy.text_safety import printable
from codebuddy.tool import ToolError

__all__ = ["AskFormat", "Formatted", "WriteFormatter", "link_format"]

AskFormat = Callable[[WorkspacePath, str], Awaitable[FormattedText]]
"""Asks for a file's text to be formatted."""

FORMAT_SECONDS: Final = 5.0
"""So long a formatter may take for one file."""

ALL_SECONDS: Final = 20.0
"""So long formatting may take for all files of an edit."""

MAX_TEXT: Final = 768 * 1024
"""Characters of JSON; a larger text is not sent to a spoke, and so not formatted."""

_ANSWER_SECONDS: Final = 2.0  # so long after its time-out a spoke may take to say that it timed out
_FILES_AT_ONCE: Final = 8
_EDITS_AT_ONCE: Final = 8  # as each holds its content in memory
_TOLD: Final = 5

log = logging.getLogger(__name__)


@dataclass
class Formatted:
    """An edit whose texts were formatted.

    Args:
        plan: what is to be done now.
        texts: new contents of files, where formatting changed them.
        failures: why a text stays as it was given, by file.
    """

    plan: Plan
    texts: dict[WorkspacePath, bytes] = field(default_factory=dict)
    failures: dict[WorkspacePath, str] = field(default_factory=dict)

    @property
    def told(self) -> str | None:
        """What was not formatted and why, in a sentence; None when there is nothing to tell."""
        if not self.failures:
            return None
        shown = [f"{printable(str(path))}: {why}" for path, why in list(self.failures.items())[:_TOLD]]
        more = len(self.failures) - len(shown)
        return f"Written without being formatted: {' '.join(shown)}" + (f" And {more} more files." if more else "")


class WriteFormatter:
    """Formats the texts of edits.

    Args:
        ask: asks a spoke.
        projects: those in which everything that is written is formatted.
        max_file_bytes: a text that becomes longer is not accepted.
    """

    def __init__(self, ask: AskFormat, projects: Collection[str], max_file_bytes: int) -> None:
        self._ask, self._projects, self._max_bytes = ask, frozenset(projects), max_file_bytes
        self._edits = anyio.CapacityLimiter(_EDITS_AT_ONCE)

    def concerns(self, plan: Plan) -> bool:
        """Say whether there is anything to format."""
        return bool(self._projects) and any(self._texts(plan))

    async def format(self, plan: Plan) -> Formatted:
        """Format every new text of an edit; never fails."""
        formatted = Formatted(plan)
        files = anyio.CapacityLimiter(_FILES_AT_ONCE)
        texts = self._texts(plan)

        async def one(path: WorkspacePath, text: Text) -> None:
            async with files:
                formatted.failures[path] = f"its formatter took longer than {FORMAT_SECONDS:.0f} s."
                with anyio.move_on_after(FORMAT_SECONDS + _ANSWER_SECONDS):
                    await self._one(formatted, path, text)

        async with self._edits:
            for path in texts:
                formatted.failures[path] = f"formatting all files of the edit took longer than {ALL_SECONDS:.0f} s."
            with anyio.move_on_after(ALL_SECONDS):
                async with anyio.create_task_group() as tasks:
                    for path, text in texts.items():
                        tasks.start_soon(one, path, text)
        formatted.plan = _with_texts(plan, formatted.texts)
        return formatted

    async def _one(self, formatted: Formatted, path: WorkspacePath, text: Text) -> None:
        try:
            if len(json.dumps(text.content, ensure_ascii=False)) > MAX_TEXT:
                raise ToolError("too_large", "it is too large for that.")
            answer = await self._ask(path, text.content)
            if answer.complete and answer.content is not None:
                formatted.texts[path] = self._encoded(answer.content, text)
            if answer.served and not answer.complete:
                raise ToolError("not_complete", answer.message or f"{answer.reason}.")
        except ToolError as error:
            formatted.failures[path] = error.message
            return
        except Exception:
            log.exception("formatting %s failed", path)
            formatted.failures[path] = "formatting failed inside the hub; see its log."
            return
        del formatted.failures[path]

    def _encoded(self, content: str, text: Text) -> bytes:
        data = encode(content, text.encoding)
        if len(data) > self._max_bytes:
            raise ToolError("too_large", f"formatted it would have more than {self._max_bytes} bytes.")
        if text.content.strip() and not content.strip():
            raise ToolError("bad_answer", "its formatter would leave nothing of it.")
        return data

    def _texts(self, plan: Plan) -> dict[WorkspacePath, Text]:
        """Give the new texts: not what only moves, even where that is a copy and a deletion."""
        gone = {change.before.hash for change in plan.changes if change.target is None and change.before is not None}
        found = {}
        for change in plan.changes:
            path, after = change.target, change.after
            if path is None or after is None or after.kind != "file" or not after.content:
                continue
            if path.project not in self._projects or (change.source is None and after.hash in gone):
                continue
            if change.before is not None and change.before.hash == after.hash:
                continue
            try:
                found[path] = decode(after.content)
            except ToolError:
                continue  # no text
        return found


def _with_texts(plan: Plan, texts: dict[WorkspacePath, bytes]) -> Plan:
    changes = []
    for change in plan.changes:
        content = None if change.target is None else texts.get(change.target)
        if content is None or change.after is None:
            changes.append(change)
            continue
        after = replace(change.after, content=content, known_hash=None)
        if change.source != change.target or after != change.before:  # else formatting gave back what is there
            changes.append(Change(change.source, change.target, change.before, after))
    return replace(plan, changes=tuple(changes))


def link_format(links: Links) -> AskFormat:
    """Give what asks the spokes.

    Args:
        links: the links to them.
    """

    async def ask(path: WorkspacePath, content: str) -> FormattedText:
        sent = {"path": str(path), "content": content, "timeout_seconds": FORMAT_SECONDS}
        patience = FORMAT_SECONDS + _ANSWER_SECONDS
        return await links.call(path.project, "format_text", sent, FormattedText, timeout_seconds=patience)

    return ask
