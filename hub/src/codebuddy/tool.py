"""What a tool is: a name, a scope, two schemas and a handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, Protocol, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


_MAX_PROBLEMS: Final = 10

# Names and contexts of errors as pydantic documents them; one that is not here keeps pydantic's own words.
_SENTENCES: Final = {
    "missing": "this is needed",
    "string_type": "this must be a text",
    "string_too_short": "this must have at least {min_length} characters",
    "string_too_long": "this may have at most {max_length} characters",
    "int_type": "this must be a whole number",
    "int_from_float": "this must be a whole number",
    "float_type": "this must be a number",
    "finite_number": "this must be a number",
    "bool_type": "this must be true or false",
    "list_type": "this must be a list",
    "dict_type": "this must be an object",
    "model_type": "this must be an object",
    "too_short": "this must have at least {min_length} of them",
    "too_long": "this may have at most {max_length} of them",
    "greater_than": "this must be more than {gt}",
    "greater_than_equal": "this must be at least {ge}",
    "less_than": "this must be less than {lt}",
    "less_than_equal": "this may be at most {le}",
    "literal_error": "this must be one of {expected}",
    "value_error": "{error}",
}


def problems_of(error: ValidationError, model: type[BaseModel], tool: str) -> str:
    """Say what is wrong with each argument, and for an unknown one which are accepted where it stands.

    Args:
        error: what checking them against the model gave.
        model: the tool's arguments.
        tool: its name.
    """
    problems = [_problem(item, model, tool) for item in error.errors(include_url=False, include_input=False)]
    more = len(problems) - _MAX_PROBLEMS
    return "; ".join(problems[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "") + "."


def _problem(item: Any, model: type[BaseModel], tool: str) -> str:
    *around, name = [str(part)[:100] for part in item["loc"]] or [""]
    where = ".".join((*around, name))
    if item["type"] == "extra_forbidden":
        holder = _model_at(model, item["loc"][:-1])
        wrong = f"{'.'.join(around)} has no argument {name}" if around else f"{name} is not an argument of {tool}"
        return f"{wrong}; it accepts {', '.join(holder.model_fields)}"
    said = _sentence(item["type"], item.get("ctx", {}), item["msg"]).removesuffix(".")
    return f"{where}: {said}" if where else said


def _sentence(kind: str, context: dict[str, Any], own_words: str) -> str:
    if context.get("min_length") == 1:
        return "this must not be empty"
    sentence = _SENTENCES.get(kind)
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return own_words if sentence is None else sentence.format(**shown)


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """Give the model of the object at a location; the last one on the way that is known."""
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return model


def _models_in(annotation: Any) -> Any:
    """Give the models that an annotation such as ``list[Edit] | None`` names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


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


ALL_SCOPES = frozenset({"read", "write", "run"})


@dataclass(frozen=True)
class Principal:
    """Whom a verified token stands for.

    Args:
        subject: who it is, for logs.
        projects: ids that the token covers; None means every project of the fleet.
        scopes: what it may do there, out of ``read``, ``write``, ``run``.
        expires_at: seconds since the epoch; None for a trusted local caller that needs no token.
    """

    subject: str
    projects: frozenset[str] | None
    scopes: frozenset[str]
    expires_at: float | None = None

    def may_use(self, project: str) -> bool:
        """Say whether the token covers the project."""
        return self.projects is None or project in self.projects

    def require_project(self, project: str, known: Collection[str]) -> None:
        """Refuse a project that is unknown or not covered, in the same words: a token learns of no other project.

        Raises:
            ToolError: ``unknown_project``, listing the projects that the token covers.
        """
        if project not in known or not self.may_use(project):
            listed = ", ".join(self.visible(known)) or "none"
            raise ToolError("unknown_project", f"There is no project {project!r} here; this token covers: {listed}.")

    def visible(self, known: Iterable[str]) -> list[str]:
        """Give those of the known project ids that the token covers, sorted."""
        return sorted(project for project in known if self.may_use(project))

    def choose(self, wanted: list[str] | None, known: Iterable[str]) -> list[str]:
        """Give the projects of a call: those asked for, each of which must be covered, or all that are.

        Raises:
            ToolError: ``unknown_project``.
        """
        known = list(known)
        if wanted is None:
            return self.visible(known)
        for project in wanted:
            self.require_project(project, known)
        return list(dict.fromkeys(wanted))


LOCAL = Principal(subject="local", projects=None, scopes=ALL_SCOPES)
"""A caller inside the hub container: whoever may execute programs there is trusted already."""
