"""What a tool is: a name, a scope, two schemas and a handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codebuddy.arguments import problems_of
from codebuddy.errors import ToolError
from codebuddy.principal import Principal

__all__ = ["Arguments", "Call", "Count", "Progress", "Result", "Scope", "Tool", "parse_arguments"]

Scope = Literal["read", "write", "run"]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A number in an answer. A spoke may say any: here it is one that every reader of JSON can read, and can be added."""

A = TypeVar("A", bound="Arguments")


class Arguments(BaseModel):
    """Base of every tool's arguments: strict types, and nothing that is not declared."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Result(BaseModel):
    """Base of every tool's answer; fields that are None are left out on the wire."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def text(self) -> str:
        """Give the short readable form that stands beside the structured content."""
        return self.model_dump_json(exclude_none=True)


class Progress(Protocol):
    """Reports how far a call is; ``message`` may carry output as it appears."""

    async def __call__(self, progress: float, total: float | None = None, message: str | None = None, /) -> None: ...


async def _no_progress(progress: float, total: float | None = None, message: str | None = None) -> None:
    return None


@dataclass(frozen=True)
class Call:
    """One call in flight: who asks, and how to tell them how far it is."""

    principal: Principal
    progress: Progress = _no_progress


@dataclass(frozen=True)
class Tool(Generic[A]):
    """A tool as the protocol offers it.

    Args:
        name: the name in the contract.
        scope: what the caller's token must allow.
        description: what it does, for the model that chooses it.
        arguments: model of the arguments; its JSON schema is the ``inputSchema``.
        result: model of the answer; its JSON schema is the ``outputSchema``.
        handler: does the work; raises ToolError for what the caller can mend.
        looks_only: whether it changes nothing, although it needs another scope than ``read``.
        for_hub: whether it is a spoke's and of use only to the hub; clients of a spoke are not offered it.
    """

    name: str
    scope: Scope
    description: str
    arguments: type[A]
    result: type[Result]
    handler: Callable[[Call, A], Awaitable[Result]]
    looks_only: bool = False
    for_hub: bool = False


def parse_arguments(tool: Tool[A], raw: dict[str, Any] | None) -> A:
    """Check raw arguments against the tool's schema.

    Raises:
        ToolError: ``invalid_arguments``, naming each wrong argument and, for an unknown one, the accepted names.
    """
    try:
        return tool.arguments.model_validate(raw or {})
    except ValidationError as error:
        raise ToolError("invalid_arguments", problems_of(error, tool.arguments, tool.name)) from None
