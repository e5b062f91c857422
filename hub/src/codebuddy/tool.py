"""What a tool is: its declaration and handler, its arguments and answer, its caller, and how a call fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codebuddy.text_safety import readable

Scope = Literal["read", "write", "run"]
ALL_SCOPES = frozenset({"read", "write", "run"})

Profile = Literal["all", "lean"]
PROFILES: Final[tuple[Profile, ...]] = get_args(Profile)
"""Which tools a client is offered: all that its token may call, or the few that reach all others."""

Detail = Literal["lean", "full"]
"""How much an answer has: what a model needs, or every field. Each tool takes it as the argument ``detail``."""

Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A number in an answer. Spokes are untrusted: the bound keeps it readable by every JSON parser, and safe to add."""

Projects = Annotated[list[str] | None, Field(min_length=1)]
"""The argument ``projects`` of a tool that works in several projects at the same time.

Like others that many tools share (path, place, limit, cursor, ...), it is explained once, in the hub's instructions.
"""

LONG_ANSWER: Final = 100_000
"""Characters of an answer that Claude Code shows its model at once; left out, it writes more than 50,000 to a file and
names that. About the 25,000 tokens that it allows any answer by default; it accepts up to 500,000."""

A = TypeVar("A", bound="Arguments")


class Arguments(BaseModel):
    """Base of every tool's arguments: strict types, and no undeclared argument."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Result(BaseModel):
    """Base of every tool's answer; fields that are None are left out on the wire."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    longest: ClassVar[int | None] = None
    """Characters that a client should show of it, if it may be long; see `LONG_ANSWER`."""

    def lean(self) -> dict[str, Any]:
        """Return what a model needs of it, in few tokens: rows are strings, in maps by file; defaults are left out.

        Both forms of an answer are made of this, so each says all that the other says.
        """
        return self.model_dump(mode="json", exclude_none=True)

    def structured(self, detail: Detail) -> dict[str, Any]:
        """Return the structured content."""
        return self.lean() if detail == "lean" else self.model_dump(mode="json", exclude_none=True)

    def text(self, detail: Detail = "lean") -> str:
        """Render the readable text that accompanies the structured content, for clients that show only text."""
        return self.rendered(self.structured(detail))

    def rendered(self, structured: dict[str, Any]) -> str:
        """Return `text` for what `structured` returned."""
        return readable(structured)


def filled(**fields: Any) -> dict[str, Any]:
    """Return those fields of a lean answer that have something in them."""
    return {name: value for name, value in fields.items() if value}


def counted(**rows: Collection[Any]) -> dict[str, Any]:
    """Return the one field of a lean answer that has its rows, and how many they are; without any, only that."""
    ((name, items),) = rows.items()
    return {"count": len(items), **filled(**{name: items})}


class ToolError(Exception):
    """A failure that the caller can act on; it becomes a tool result with ``isError: true``.

    Args:
        code: short machine-readable name in snake_case, e.g. ``outside_project``.
        message: one sentence that says what is wrong and what to do.
        path: the workspace path that it is about, if there is one.
    """

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path


@dataclass(frozen=True)
class Principal:
    """The holder of a verified token.

    Args:
        subject: who it is, for logs.
        projects: ids that the token covers; None means every project of the fleet.
        scopes: what it may do there, out of ``read``, ``write``, ``run``.
        tools: the profile of the tools that it is offered.
        expires_at: seconds since the epoch; None for a trusted local caller that needs no token.
    """

    subject: str
    projects: frozenset[str] | None
    scopes: frozenset[str]
    expires_at: float | None = None
    tools: Profile = "all"

    def covers(self, project: str) -> bool:
        """Say whether the token covers the project."""
        return self.projects is None or project in self.projects

    def require_project(self, project: str, known: Collection[str]) -> None:
        """Refuse a project that is unknown or not covered, in the same words, so that a token reveals no other project.

        Raises:
            ToolError: ``unknown_project``, listing the projects that the token covers.
        """
        if project not in known or not self.covers(project):
            listed = ", ".join(self.visible(known)) or "none"
            raise ToolError("unknown_project", f"There is no project {project!r} here; this token covers: {listed}.")

    def visible(self, known: Iterable[str]) -> list[str]:
        """Return those of the known project ids that the token covers, sorted."""
        return sorted(project for project in known if self.covers(project))

    def choose(self, wanted: list[str] | None, known: Iterable[str]) -> list[str]:
        """Return the wanted projects, each of which the token must cover; without any, all that it covers.

        Raises:
            ToolError: ``unknown_project``.
        """
        known = list(known)
        if wanted is None:
            return self.visible(known)
        for project in wanted:
            self.require_project(project, known)
        return list(dict.fromkeys(wanted))


HUB = "hub"
"""The subject of the hub, as the spokes' caller."""

LOCAL = Principal(subject="local", projects=None, scopes=ALL_SCOPES)
"""A caller inside the hub container: it can execute programs there, so it is trusted already."""


class Progress(Protocol):
    """Reports the progress of a call; ``message`` may carry output as it appears."""

    async def __call__(self, progress: float, total: float | None = None, message: str | None = None, /) -> None: ...


async def no_progress(_progress: float, _total: float | None = None, _message: str | None = None, /) -> None:
    """Discard progress."""


Departure = Literal["cancelled", "detached", "lost"]
"""Why nobody waits for a call any more: the caller cancelled it, left its work to go on, or lost its connection."""


def _cancelled() -> Departure:
    return "cancelled"


@dataclass(frozen=True)
class Call:
    """One call in flight: who makes it, how to report its progress, and, while its task is cancelled, why it is."""

    principal: Principal
    progress: Progress = no_progress
    departure: Callable[[], Departure] = _cancelled


Handler = Callable[[Call, A], Awaitable[Result]]
"""Does the work of a tool; raises ToolError for what the caller can correct."""


@dataclass(frozen=True)
class ToolSpec(Generic[A]):
    """A tool as the protocol describes it, without a handler.

    Args:
        scope: what the caller's token must allow.
        description: what it does, for the model that chooses it.
        arguments: model of the arguments.
        result: model of the answer.
        read_only: it changes nothing although it needs another scope than ``read``.
        destructive: it may change or end what cannot be taken back; what an edit changes, undo_edit takes back.
        idempotent: to call it again with the same arguments changes nothing more.
        starts_programs: it starts programs of the project, which reach what the project's egress allows.
        hub_only: a spoke offers it only to the hub, not to clients of its own.
    """

    name: str
    scope: Scope
    description: str
    arguments: type[A]
    result: type[Result]
    read_only: bool = field(default=False, kw_only=True)
    destructive: bool = field(default=False, kw_only=True)
    idempotent: bool = field(default=False, kw_only=True)
    starts_programs: bool = field(default=False, kw_only=True)
    hub_only: bool = field(default=False, kw_only=True)

    @property
    def changes_nothing(self) -> bool:
        return self.scope == "read" or self.read_only

    def bind(self, handler: Handler[Any], **differences: Any) -> Tool[Any]:
        """Make the tool: add its handler, and replace those fields that differ where it is offered."""
        return Tool(**{**vars(self), **differences, "handler": handler})


@dataclass(frozen=True)
class Tool(ToolSpec[A]):
    """A tool that can be called."""

    handler: Handler[A]


def tool_of(handler: Callable[..., Awaitable[Result]], scope: Scope, *, idempotent: bool = False) -> Tool[Any]:
    """Make a tool of a handler: its name, its docstring as the description, and the models in its signature."""
    hints, description = get_type_hints(handler), " ".join((handler.__doc__ or "").split())
    return Tool(
        handler.__name__, scope, description, hints["arguments"], hints["return"], handler, idempotent=idempotent
    )


def require_scope(principal: Principal, tool: ToolSpec[Any]) -> None:
    """Refuse a tool that the token does not allow.

    Raises:
        ToolError: ``forbidden``.
    """
    if tool.scope not in principal.scopes:
        scopes = ",".join(scope for scope in get_args(Scope) if scope == tool.scope or scope in principal.scopes)
        sentence = f"{tool.name} needs a token with the scope {tool.scope!r}; make one with: make token SCOPES={scopes}"
        raise ToolError("forbidden", sentence)


def take_detail(raw: dict[str, Any] | None) -> tuple[Detail, dict[str, Any] | None]:
    """Return the argument ``detail``, and the other arguments: every tool accepts it, though few list it.

    Raises:
        ToolError: ``invalid_arguments``.
    """
    if raw is None or "detail" not in raw:
        return "lean", raw
    others = {name: value for name, value in raw.items() if name != "detail"}
    if raw["detail"] not in ("lean", "full"):
        raise ToolError("invalid_arguments", "detail must be one of 'lean' or 'full'.")
    return raw["detail"], others


def parse_arguments(tool: Tool[A], raw: dict[str, Any] | None) -> A:
    """Check raw arguments against the tool's schema.

    Raises:
        ToolError: ``invalid_arguments``, naming each wrong argument and, for an unknown one, the accepted names.
    """
    try:
        return tool.arguments.model_validate(raw or {})
    except ValidationError as error:
        raise ToolError("invalid_arguments", _problems(error, tool)) from None


_MAX_PROBLEMS: Final = 10

# Error types and their contexts as pydantic documents them; for a type that is not here, pydantic's own words are used.
_PREDICATES: Final = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "may have at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "too_short": "must have at least {min_length} items",
    "too_long": "may have at most {max_length} items",
    "string_pattern_mismatch": "must match {pattern}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "may be at most {le}",
    "literal_error": "must be one of {expected}",
}


def _problems(error: ValidationError, tool: Tool[Any]) -> str:
    """Say what is wrong with each argument, and for an unknown one which are accepted in its place."""
    problems = [_problem(item, tool) for item in error.errors(include_url=False, include_input=False)]
    more = len(problems) - _MAX_PROBLEMS
    return "; ".join(problems[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "") + "."


def _problem(item: Any, tool: Tool[Any]) -> str:
    *parents, name = [str(part)[:100] for part in item["loc"]] or [""]
    parent = ".".join(parents)
    if item["type"] == "extra_forbidden":
        accepted = ", ".join(_model_at(tool.arguments, item["loc"][:-1]).model_fields)
        wrong = f"{parent} has no argument {name}" if parents else f"{name} is not an argument of {tool.name}"
        return f"{wrong}; it accepts {accepted}"
    where = f"{parent}.{name}" if parents else name
    context = item.get("ctx", {})
    if predicate := _predicate(item["type"], context):
        return f"{where or 'the arguments object'} {predicate}"
    sentence = str(context.get("error", item["msg"])).removesuffix(".")
    return f"{where}: {sentence}" if where else sentence[:1].upper() + sentence[1:]


def _predicate(kind: str, context: dict[str, Any]) -> str | None:
    if context.get("min_length") == 1:
        return "must not be empty"
    predicate = _PREDICATES.get(kind)
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return None if predicate is None else predicate.format(**shown)


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """Find the model of the object at a location; the last known one on the way."""
    for part in location:
        annotation = model.model_fields.get(part) if isinstance(part, str) else None
        if annotation is not None:
            model = next(_models_in(annotation.annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Return the models that an annotation such as ``list[Edit] | None`` names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
