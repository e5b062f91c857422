"""Which spokes are connected, and one call to one of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import mcp_types as types
from mcp import ClientSession
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from codebuddy.errors import ToolError
from codebuddy.tool import Progress

__all__ = ["Link", "Links"]

SILENCE_SECONDS = 1.0
"""After so long without an answer or progress, a spoke is asked whether it is still there."""

PING_SECONDS = 2.0
"""So long it may take to say so; the agent answers between two lines of output, however busy its project is."""

MAX_ANSWER_CHARACTERS = 1024 * 1024
"""The longest answer of a spoke that is passed on: a client gets it twice, as text and as structure."""

MAX_PROGRESS_CHARACTERS = 32 * 1024

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)


@dataclass(eq=False)
class Link:
    """One connected spoke: the MCP session to it, in which the hub is the client.

    Args:
        project: the project that the spoke's token names.
        session: initialized session.
        close: ends the link with a reason.
    """

    project: str
    session: ClientSession
    close: Callable[[str], Awaitable[None]]
    since: float = field(default_factory=time.time)


class Links:
    """All links of the hub, at most one a project."""

    def __init__(self, projects: Iterable[str]) -> None:
        self._projects = frozenset(projects)
        self._links: dict[str, Link] = {}

    def get(self, project: str) -> Link | None:
        """Give the link of a project, None while its spoke is not connected."""
        return self._links.get(project)

    async def add(self, link: Link) -> None:
        """Take a new link. An older one of the same project is closed: a spoke that lost its network dials again long
        before the hub learns that the first connection is dead.
        """
        older = self._links.get(link.project)
        self._links[link.project] = link
        log.info("link %s: connected", link.project)
        if older is not None:
            await older.close("another link of this project took its place")

    def remove(self, link: Link) -> None:
        """Forget a link that ended, unless a newer one stands in its place."""
        if self._links.get(link.project) is link:
            del self._links[link.project]
            log.info("link %s: disconnected", link.project)

    async def call(
        self,
        project: str,
        tool: str,
        arguments: dict[str, Any],
        answer: type[R],
        *,
        report: Progress | None = None,
        timeout_seconds: float | None = None,
    ) -> R:
        """Call a tool of a spoke and wait for its answer.

        Cancelling the call cancels it in the spoke. A spoke may be hostile: nothing that it answers raises anything
        but a ToolError here.

        Args:
            project: id of the project.
            tool: the tool's name there.
            arguments: its arguments.
            answer: the model that the answer must fit.
            report: is told what the spoke tells.
            timeout_seconds: how long to wait; None: as long as the spoke shows that it is there.

        Raises:
            ToolError: what the spoke's tool raised; ``spoke_offline`` when the spoke is not connected, goes away, or
                stops answering; ``timed_out``; ``bad_answer`` when it says what the model does not allow.
        """
        link = self._links.get(project)
        if link is None:
            raise _offline(project)
        heard = _LastHeard()

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            heard.now()
            if report is not None:
                await report(progress, total, None if message is None else message[:MAX_PROGRESS_CHARACTERS])

        result: types.CallToolResult | None = None
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, link, heard, tasks.cancel_scope)
            with anyio.move_on_after(timeout_seconds) as limit:
                try:
                    result = await link.session.send_request(
                        types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=arguments)),
                        types.CallToolResult,
                        progress_callback=on_progress,
                    )
                except Exception as error:
                    failure = error
            tasks.cancel_scope.cancel()
        if limit.cancelled_caught:
            raise ToolError("timed_out", f"The spoke of {project} did not answer {tool} in {timeout_seconds:.0f} s.")
        if failure is not None and not _says_gone(failure):
            log.warning("link %s: %s failed: %r", project, tool, failure)
            raise _bad_answer(project, tool)
        if result is None:
            raise _offline(project)
        return _read_answer(project, tool, result, answer)


class _LastHeard:
    def __init__(self) -> None:
        self.now()

    def now(self) -> None:
        self.at = anyio.current_time()


async def _watch(link: Link, heard: _LastHeard, scope: anyio.CancelScope) -> None:
    """Cancel a call whose spoke no longer answers: a paused container or a cut network closes no connection."""
    while True:
        await anyio.sleep(max(0.0, heard.at + SILENCE_SECONDS - anyio.current_time()))
        if anyio.current_time() - heard.at < SILENCE_SECONDS:
            continue
        if await _answers_ping(link):
            heard.now()
            continue
        log.warning("link %s: no answer to a ping; closing it", link.project)
        with anyio.move_on_after(PING_SECONDS, shield=True):
            await link.close("no answer to a ping")
        scope.cancel()
        return


async def _answers_ping(link: Link) -> bool:
    with anyio.move_on_after(PING_SECONDS):
        try:
            await link.session.send_ping()
        except Exception as error:
            return not _says_gone(error)  # nonsense is an answer too
        return True
    return False


def _says_gone(error: Exception) -> bool:
    return isinstance(error, MCPError) and error.error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT)


def _read_answer(project: str, tool: str, result: types.CallToolResult, answer: type[R]) -> R:
    structured = result.structured_content or {}
    if result.is_error:
        code, message = structured.get("code"), structured.get("message")
        if isinstance(code, str) and isinstance(message, str):
            path = structured.get("path")
            raise ToolError(code[:64], message[:2000], path[:4096] if isinstance(path, str) else None)
        raise _bad_answer(project, tool)
    try:
        read = answer.model_validate(structured)
    except ValueError:
        log.warning("link %s: the answer of %s does not fit its schema", project, tool)
        raise _bad_answer(project, tool) from None
    if len(read.model_dump_json()) > MAX_ANSWER_CHARACTERS:
        raise ToolError("too_large", f"The answer of {project} to {tool} is too long to pass on; ask for less at once.")
    return read


def _bad_answer(project: str, tool: str) -> ToolError:
    return ToolError(
        "bad_answer", f"The spoke of {project} answered {tool} in a way that this hub does not know; run: make up."
    )


def _offline(project: str) -> ToolError:
    return ToolError(
        "spoke_offline",
        f"The spoke of {project} is not connected. It dials in again by itself; make status tells why it has not.",
    )
