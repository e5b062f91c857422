"""What a scripted model is to do, and what it saw."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Arguments = Mapping[str, Any] | Callable[[Sequence[str]], Mapping[str, Any] | None]
"""The arguments of a call, or how they are made from what the model has seen; with None the script ends there."""


@dataclass(frozen=True)
class Call:
    """One tool call that the model asks for.

    Args:
        tool: the hub's own name of the tool; the agent may offer it under a longer one.
        before: done once, before the model asks for the call.
    """

    tool: str
    arguments: Arguments
    before: Callable[[], None] | None = None


@dataclass(frozen=True)
class Tool:
    """A tool that an agent offers to its model.

    Args:
        group: what stands before the name when the agent is to be told of a call; not every service has it.
    """

    name: str
    group: str | None = None


@dataclass(frozen=True)
class Turn:
    """What an agent sends to its model.

    Args:
        results: what each call gave, as the agent tells it, by call id.
        deferred: tools that it names only, to be found by a search.
    """

    tools: list[Tool]
    results: dict[str, str]
    deferred: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """A tool call in the model's answer."""

    id: str
    tool: Tool
    arguments: Mapping[str, Any]


Answer = Asked | str
"""What the model answers: a tool call, or text, which ends the conversation."""

SEARCHES = ("ToolSearch", "tool_search", "tool_search_tool")
"""Tools of agents that find the tools which they do not offer at once."""


@dataclass
class ScriptedModel:
    """A model that asks for the calls of a script, one after the other, and notes what it sees.

    Args:
        known: the names of the hub's tools.
        prefixed: whether the agent puts the server's name before the names of its tools.
    """

    script: Sequence[Call]
    known: frozenset[str]
    prefixed: bool = True
    offered: set[str] = field(default_factory=set)
    found: dict[str, Tool] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)
    finished: bool = False
    _asked: list[tuple[int | None, Asked]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, turn: Turn) -> Answer:
        """Answer one request of the agent; a request that comes again is answered again in the same way."""
        with self._lock:
            for tool in turn.tools:
                if (name := self.own_name(tool)) is not None:
                    self.offered.add(name)
                    self.found[name] = tool
            self.offered.update(
                name for deferred in turn.deferred if (name := self.own_name(Tool(deferred))) is not None
            )
            searches = [tool for tool in turn.tools if tool.name in SEARCHES]
            if not self.found and not searches:
                return "ok"  # the agent asks for something of its own, such as a title
            told = [turn.results[asked.id] for _, asked in self._asked if asked.id in turn.results]
            if len(told) < len(self._asked):
                return self._asked[len(told)][1]
            self.results = [text for (step, _), text in zip(self._asked, told, strict=True) if step is not None]
            if len(self.results) == len(self.script):
                self.finished = True
                return "done"
            return self._ask(len(self.results), searches)

    def own_name(self, tool: Tool) -> str | None:
        """Return the hub's name of a tool that an agent offers, or None for the agent's own tools."""
        if not self.prefixed:
            return tool.name if tool.name in self.known else None
        if "codebuddy" not in f"{tool.group} {tool.name}":
            return None
        return max((name for name in self.known if tool.name.endswith(name)), key=len, default=None)

    def _ask(self, step: int, searches: list[Tool]) -> Answer:
        call = self.script[step]
        tool = self.found.get(call.tool)
        if tool is None and searches and call.tool not in self.searched:
            self.searched.append(call.tool)
            asked = Asked(self._next_id(), searches[0], {"query": f"select:mcp__codebuddy__{call.tool}"})
            self._asked.append((None, asked))
            return asked
        if tool is None:
            self.missing.append(call.tool)
            return f"there is no tool {call.tool}"
        arguments = call.arguments(self.results) if callable(call.arguments) else call.arguments
        if arguments is None:
            self.finished = True
            return "done"
        if call.before is not None:
            call.before()
        asked = Asked(self._next_id(), tool, arguments)
        self._asked.append((step, asked))
        return asked

    def _next_id(self) -> str:
        return f"call_{len(self._asked)}"
