"""What a client is offered: the answer to ``tools/list``, by the scopes and the profile of its token.

The profile ``lean`` has a few tools with short definitions. One more finds all others, and two call what it finds.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Final, NamedTuple

from pydantic import Field

from codebuddy.tool import (
    Arguments,
    Call,
    Detail,
    Principal,
    Profile,
    Result,
    Tool,
    ToolError,
    parse_arguments,
    require_scope,
    take_detail,
    tool_of,
)
from codebuddy.wire.calls import Json, describe_tool

_PLACE: Final = ("path", "line", "column", "symbol", "text")
_LEAN: Final[Mapping[str, Sequence[str]]] = {
    "list_projects": (),
    "find_files": ("pattern", "projects"),
    "read_file": ("path", "start_line", "end_line"),
    "search_text": ("pattern", "regex", "include", "projects", "cursor"),
    "edit_file": ("path", "edits"),
    "write_file": ("path", "content"),
    "find_definition": _PLACE,
    "find_references": (*_PLACE, "projects", "cursor"),
    "document_symbols": ("path",),
    "diagnostics": ("path", "projects", "cursor"),
    "run_command": ("argv", "projects", "cwd"),
    "run_task": ("task", "arguments", "projects"),
    "job_output": ("job_id", "cursor", "wait_seconds"),
}
"""The tools of the profile ``lean``, with the arguments that it shows; it accepts the others too."""

_FOUND: Final = 4  # definitions in an answer of find_tools


class FindToolsArguments(Arguments):
    """What to look for."""

    query: str = Field(max_length=1000, description="What you want to do.")


class FoundTools(Result):
    """The tools that fit best, as ``tools/list`` describes them, and the names of all others."""

    tools: list[Json]
    others: list[str]
    message: str | None = None

    def rendered(self, _structured: Json) -> str:
        """Render a line for each tool, in JSON because the model has to read its schema."""
        found = [self.message] if self.message else map(json.dumps, self.tools)
        return "\n".join([*found, f"others: {', '.join(self.others)}"])


class CallToolArguments(Arguments):
    """A tool, and what to call it with."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class _InFull(Result):
    """An answer whose caller asked for ``detail: full`` among the arguments of the tool that it named."""

    answer: Result

    def rendered(self, structured: Json) -> str:
        return self.answer.rendered(structured)

    def structured(self, _detail: Detail) -> Json:
        return self.answer.structured("full")


class Offer(NamedTuple):
    """What a list of tools depends on."""

    scopes: frozenset[str]
    profile: Profile
    has_egress: bool


class Offers:
    """The tools of a server, and those that each client is offered.

    Args:
        tools: all of them, in the order in which they are listed.
        open_projects: the projects whose programs reach something outside.
    """

    def __init__(self, tools: Sequence[Tool[Any]], open_projects: Set[str]) -> None:
        self._open = open_projects
        self._listed = {tool.name: tool for tool in tools}
        gateways = [tool_of(one, "read") for one in (self.find_tools, self.call_read_only_tool, self.call_tool)]
        self._gateways = {tool.name: tool for tool in gateways}
        self._lists: dict[Offer, list[Json]] = {}

    @property
    def tools(self) -> Mapping[str, Tool[Any]]:
        """All tools that can be called, by name."""
        return {**self._listed, **self._gateways}

    def tool_list(self, principal: Principal) -> list[Json]:
        """Return the definitions of the tools that a client is offered: those that its token may call.

        Clients that are offered the same get the same list, which nobody may change.
        """
        offer = self.offer(principal)
        if offer not in self._lists:
            tools = (tool for tool in self._listed.values() if tool.scope in offer.scopes)
            entries = [describe_tool(tool, offer.has_egress) for tool in tools]
            if offer.profile == "lean":
                entries = [*_shortened(entries), *(self._gateway_entries(entries) if "read" in offer.scopes else [])]
            self._lists[offer] = entries
        return self._lists[offer]

    def offer(self, principal: Principal) -> Offer:
        """Return what a client's list of tools depends on: not on whose its token is, nor on how long it lasts."""
        return Offer(principal.scopes, principal.tools, any(map(principal.covers, self._open)))

    def _gateway_entries(self, reached: Sequence[Json]) -> Iterable[Json]:
        """Yield the definitions of the tools of the profile ``lean`` that reach all these tools."""
        changing = [entry["annotations"] for entry in reached if not entry["annotations"]["readOnlyHint"]]
        worst = {
            "readOnlyHint": False,
            "openWorldHint": any(hints["openWorldHint"] for hints in changing),
            "destructiveHint": any(hints["destructiveHint"] for hints in changing),
            "idempotentHint": False,
        }
        for tool in self._gateways.values():
            entry = _without_answer(describe_tool(tool))
            if tool.name != "call_tool":
                yield entry
            elif changing:
                yield {**entry, "annotations": worst}

    async def find_tools(self, call: Call, arguments: FindToolsArguments) -> FoundTools:
        """Find more tools, with their arguments: rename, format, move, delete, undo, quick fixes, outline, hover,
        callers, subclasses, jobs, ...
        """
        offered = self._reached(call)
        found = [_without_answer(entry) for entry in rank(arguments.query, offered)[:_FOUND]]
        names = {entry["name"] for entry in found} | _LEAN.keys()
        nothing = None if found else "No tool that this token may call fits; try other words, or one of the others."
        others = [entry["name"] for entry in offered if entry["name"] not in names]
        return FoundTools(tools=found, others=others, message=nothing)

    async def call_read_only_tool(self, call: Call, arguments: CallToolArguments) -> Result:
        """Call a tool that find_tools found and that has readOnlyHint."""
        if (tool := self._listed.get(arguments.name)) is not None and not tool.changes_nothing:
            raise ToolError("invalid_arguments", f"{tool.name} can change something; call it with call_tool.")
        return await self.call_tool(call, arguments)

    async def call_tool(self, call: Call, arguments: CallToolArguments) -> Result:
        """Call any tool that find_tools found."""
        tool = self._listed.get(arguments.name)
        if tool is None:
            known = ", ".join(entry["name"] for entry in self._reached(call))
            raise ToolError("invalid_arguments", f"There is no tool {arguments.name!r}; there are: {known}.")
        require_scope(call.principal, tool)
        detail, raw = take_detail(arguments.arguments)
        answer = await tool.handler(call, parse_arguments(tool, raw))
        return answer if detail == "lean" else _InFull(answer=answer)

    def _reached(self, call: Call) -> list[Json]:
        return self.tool_list(replace(call.principal, tools="all"))


def _without_answer(entry: Json) -> Json:
    return {key: value for key, value in entry.items() if key != "outputSchema"}


def _shortened(entries: Iterable[Json]) -> Iterable[Json]:
    """Yield the definitions of the profile ``lean``: of its tools only, with the arguments that it shows."""
    by_name = {entry["name"]: entry for entry in entries}
    for name, shown in _LEAN.items():
        if name in by_name:
            schema = by_name[name]["inputSchema"]
            properties = {key: value for key, value in schema["properties"].items() if key in shown}
            yield {**_without_answer(by_name[name]), "inputSchema": {**schema, "properties": properties}}


def rank(query: str, entries: Sequence[Json]) -> list[Json]:
    """Sort definitions by how well they fit a query; leave out those that have none of its words.

    This is BM25 with the usual parameters over the words of name, description and arguments, as agents do it that load
    definitions only when they need them.
    """
    documents = [Counter(_words(entry)) for entry in entries]
    average = sum(map(Counter.total, documents)) / max(1, len(documents))
    scores = [0.0] * len(documents)
    for word in set(_split(query)):
        containing = sum(word in document for document in documents)
        rarity = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
        for index, document in enumerate(documents):
            weight = 1.2 * (0.25 + 0.75 * document.total() / average)
            scores[index] += rarity * document[word] * 2.2 / (document[word] + weight)
    order = sorted(range(len(entries)), key=lambda index: -scores[index])
    return [entries[index] for index in order if scores[index] > 0]


def _words(entry: Json) -> Iterable[str]:
    properties = entry["inputSchema"].get("properties", {})
    described = [value.get("description", "") for value in properties.values()]
    return _split(" ".join([entry["name"], entry["description"], *properties, *described]))


def _split(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())
