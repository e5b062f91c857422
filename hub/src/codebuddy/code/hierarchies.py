"""Hierarchies of calls and of types, walked step by step with the server that knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from codebuddy.code.asking import Answer, Asked, request, settle
from codebuddy.code.call_places import call_places
from codebuddy.code.pages import paged
from codebuddy.code.places import kind_of
from codebuddy.code.questions import Pointer, Question, malformed, point_at
from codebuddy.code.results import Reader
from codebuddy.language.connection import Connection
from codebuddy.language.documents import Document
from codebuddy.language.positions import clean
from codebuddy.language.readiness import Report
from codebuddy.language.servers import LanguageServers
from codebuddy.schemas.code import (
    CallHierarchyArguments,
    Hierarchy,
    HierarchyItem,
    Location,
    TextRange,
    TypeHierarchyArguments,
)

__all__ = ["call_hierarchy", "type_hierarchy"]

_MAX_ITEMS: Final = 500
_MAX_CALLS: Final = 200
_MAX_TEXT: Final = 500

_Wanted = CallHierarchyArguments | TypeHierarchyArguments


@dataclass(frozen=True)
class _Way:
    """One direction of a hierarchy, as the protocol has it.

    Args:
        prepare: the request for the thing at a place.
        method: the request for the next ones.
        item: where in an answer's item the next thing is; None if the item is the thing.
        calls_in_next: whether the ranges of calls are in the file of the next thing.
    """

    prepare: str
    method: str
    item: str | None = None
    calls_in_next: bool = False


_WAYS: Final[Mapping[str, _Way]] = {
    "incoming": _Way("textDocument/prepareCallHierarchy", "callHierarchy/incomingCalls", "from", True),
    "outgoing": _Way("textDocument/prepareCallHierarchy", "callHierarchy/outgoingCalls", "to"),
    "supertypes": _Way("textDocument/prepareTypeHierarchy", "typeHierarchy/supertypes"),
    "subtypes": _Way("textDocument/prepareTypeHierarchy", "typeHierarchy/subtypes"),
}


async def call_hierarchy(servers: LanguageServers, wanted: CallHierarchyArguments, report: Report) -> Hierarchy:
    """Give who calls the function at a place, or whom it calls.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _hierarchy(servers, wanted, report, "call_hierarchy")


async def type_hierarchy(servers: LanguageServers, wanted: TypeHierarchyArguments, report: Report) -> Hierarchy:
    """Give what the type at a place derives from, or what derives from it.

    Raises:
        ToolError: there is no such file or place, or the place is ambiguous.
    """
    return await _hierarchy(servers, wanted, report, "type_hierarchy")


async def _hierarchy(servers: LanguageServers, wanted: _Wanted, report: Report, tool: str) -> Hierarchy:
    question, path = Question.begin(servers, wanted.timeout_seconds, report), servers.tree.locate(wanted.path)
    items, answer = await question.found(partial(_attempt, question, path, wanted))
    page = paged(tool, wanted, items, answer)
    return Hierarchy(direction=wanted.direction, items=page.items, **page.rest)


async def _attempt(question: Question, path: Path, wanted: _Wanted) -> tuple[list[HierarchyItem], Answer]:
    way = _WAYS[wanted.direction]
    asked = await question.choose(path, way.prepare)
    walk = _Walk(asked, way, await point_at(question, path, wanted), wanted.depth)
    answer = await settle(asked, path, walk.run)
    if answer.reason is None and walk.cut:
        answer = Answer(None, answer.lines, answer.encoding, "truncated", f"Not followed further: {walk.cut}.")
    try:
        reader = Reader(question.servers.tree, answer.encoding, answer.lines)
        calls = [_calls(reader, way, node, walk.nodes) for node in walk.nodes]
        items = [_item(reader, number, node, calls[number][0]) for number, node in enumerate(walk.nodes)]
    except ValueError as error:
        raise malformed(error) from None
    reader.require_shown()
    if answer.reason is None and not all(all_right for _, all_right in calls):
        message = f"{asked.server.config.name} tells places of calls where nothing is called; these are left out."
        answer = Answer(None, answer.lines, answer.encoding, "server_error", message)
    return items, answer


@dataclass(frozen=True)
class _Node:
    """A thing on the way; what the server says of it is not checked yet but for its being an object."""

    raw: Mapping[str, Any]
    depth: int
    parent: int | None = None
    calls: list[tuple[Any, Any]] = field(default_factory=list)
    repeated: bool = False


class _Walk:
    """A walk from the thing at a place.

    Args:
        asked: whom, and how long.
        way: which way.
        pointer: the place.
        depth: how many steps.
    """

    def __init__(self, asked: Asked, way: _Way, pointer: Pointer, depth: int) -> None:
        self._asked, self._way, self._pointer, self._depth = asked, way, pointer, depth
        self._seen: set[str] = set()
        self.nodes: list[_Node] = []
        self.cut = ""

    async def run(self, connection: Connection, document: Document) -> None:
        """Walk; anew each time.

        Raises:
            Unsettled: the server's answer is malformed.
        """
        self.nodes, self.cut = [], ""
        self._seen.clear()
        params = self._pointer.params({}, document, connection.encoding)
        prepare = {"textDocument": {"uri": document.uri}, **params}
        try:
            for raw in _objects(await request(connection, self._way.prepare, prepare, self._asked.deadline)):
                await self._follow(connection, _Node(raw, 0))
        except ValueError as error:
            raise malformed(error) from None

    async def _follow(self, connection: Connection, node: _Node) -> None:
        if len(self.nodes) >= _MAX_ITEMS:
            self.cut = f"there are more than {_MAX_ITEMS} items"
            return
        number, key = len(self.nodes), _key(node.raw)
        if key in self._seen:
            self.nodes.append(_Node(node.raw, node.depth, node.parent, node.calls, repeated=True))
            return
        self.nodes.append(node)
        # What is outside the project leads ever further from it.
        inside = self._asked.server.tree.path_of(str(node.raw.get("uri"))) is not None
        if node.depth == self._depth or not inside:
            return
        self._seen.add(key)
        answer = await request(connection, self._way.method, {"item": node.raw}, self._asked.deadline)
        for item in sorted(_objects(answer), key=lambda one: _key(self._thing(one))):
            await self._follow(connection, self._next(number, node, item))

    def _thing(self, item: dict[str, Any]) -> dict[str, Any]:
        thing = item if self._way.item is None else item.get(self._way.item)
        if not isinstance(thing, dict):
            raise ValueError("an item that is no object")
        return thing

    def _next(self, parent: int, before: _Node, item: dict[str, Any]) -> _Node:
        thing, ranges = self._thing(item), item.get("fromRanges", [])
        if self._way.item is None:
            return _Node(thing, before.depth + 1, parent)
        if not isinstance(ranges, list):
            raise ValueError("ranges of calls that are no list")
        if len(ranges) > _MAX_CALLS:
            self.cut = f"{len(ranges)} calls in one function, of which {_MAX_CALLS} are told"
        uri = (thing if self._way.calls_in_next else before.raw).get("uri")
        return _Node(thing, before.depth + 1, parent, [(uri, span) for span in ranges[:_MAX_CALLS]])


def _objects(answer: Any) -> list[dict[str, Any]]:
    items = [] if answer is None else answer
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("a hierarchy that is not a list of objects")
    return items


def _key(raw: Mapping[str, Any]) -> str:
    """Give what tells two things apart, and puts them in an order that is the same each time."""
    span = raw.get("selectionRange")
    start = span.get("start") if isinstance(span, dict) else None
    line, character = (start.get("line"), start.get("character")) if isinstance(start, dict) else (None, None)
    numbers = [f"{one:09}" if isinstance(one, int) else "" for one in (line, character)]
    return "\n".join([str(raw.get("uri")), *numbers, str(raw.get("name"))])


def _calls(reader: Reader, way: _Way, node: _Node, nodes: list[_Node]) -> tuple[list[Location], bool]:
    """Give where one thing calls the one before it, or the other way round; see `call_places`."""
    if node.parent is None or not node.calls:
        return [], True
    before = nodes[node.parent]
    caller, callee = (node, before) if way.calls_in_next else (before, node)
    return call_places(reader, caller.raw, callee.raw, node.calls)


def _item(reader: Reader, number: int, node: _Node, calls: list[Location]) -> HierarchyItem:
    raw, name, detail = node.raw, node.raw.get("name"), node.raw.get("detail")
    if not isinstance(name, str):
        raise ValueError("an item without a name")
    full = reader.place(raw.get("uri"), raw.get("range"))
    return HierarchyItem(
        **reader.place(raw.get("uri"), raw.get("selectionRange")).model_dump(),
        name=clean(name[:_MAX_TEXT]),
        kind=kind_of(raw.get("kind")),
        detail=clean(detail[:_MAX_TEXT]) if isinstance(detail, str) and detail else None,
        full_range=TextRange(**full.model_dump(include=set(TextRange.model_fields))),
        id=number,
        parent=node.parent,
        depth=node.depth,
        calls=calls or None,
        repeated=node.repeated or None,
    )
