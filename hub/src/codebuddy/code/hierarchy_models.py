"""Arguments and answers of the hierarchy tools: who calls whom, what derives from what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codebuddy.code.models import CURSOR, MAX_PATH_SHOWN, TIMEOUT, CodeResult, Location, Place
from codebuddy.code.symbol_models import MAX_DEPTH_SHOWN, SymbolLocation
from codebuddy.readable import one_line
from codebuddy.tool import Count

__all__ = ["CallHierarchyArguments", "Hierarchy", "HierarchyItem", "TypeHierarchyArguments"]

_DEPTH = Field(default=1, ge=1, le=10, description="How many steps to go.")
_LIMIT = Field(default=200, ge=1, le=1000, description="The most items to give.")


class CallHierarchyArguments(Place):
    """A function, and which way to go from it."""

    direction: Literal["incoming", "outgoing"] = Field(description="incoming: who calls it; outgoing: whom it calls.")
    depth: int = _DEPTH
    timeout_seconds: float = TIMEOUT
    limit: int = _LIMIT
    cursor: str | None = CURSOR


class TypeHierarchyArguments(Place):
    """A type, and which way to go from it."""

    direction: Literal["supertypes", "subtypes"] = Field(
        description="supertypes: what it derives from; subtypes: what derives from it."
    )
    depth: int = _DEPTH
    timeout_seconds: float = TIMEOUT
    limit: int = _LIMIT
    cursor: str | None = CURSOR


class HierarchyItem(SymbolLocation):
    """A function or type in a hierarchy; the place is that of its name."""

    id: Count = Field(description="Its number in this answer.")
    parent: Count | None = Field(default=None, description="The id of the item that led to it.")
    depth: Count = Field(description="How many steps away it is.")
    calls: list[Location] | None = Field(default=None, description="Where the calls are.")
    repeated: bool | None = Field(default=None, description="True where the way goes on as above.")


class Hierarchy(CodeResult):
    """A hierarchy, each item before those that it leads to."""

    direction: str
    items: list[HierarchyItem]

    def text(self) -> str:
        """Give a line an item, further in the more steps away it is."""
        lines = []
        for item in self.items:
            at = [f"{one.line}:{one.column}" for one in item.calls or []]
            calls = f"  calls at {', '.join(at)}" if at else ""
            again = "  (see above)" if item.repeated else ""
            place = f"{one_line(item.path, MAX_PATH_SHOWN)}:{item.line}:{item.column}"
            lines.append(f"{'  ' * min(item.depth, MAX_DEPTH_SHOWN)}{item.sentence()}  {place}{calls}{again}")
        return "\n".join([one_line(self.direction), *lines, self._summary(len(self.items), "item")])
