"""The JSON schemas of tools, as short as they can be: clients read them, models pay for them, SDKs check with them."""

from __future__ import annotations

import logging
import re
import uuid
from collections import Counter
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from codebuddy.text_safety import one_line, paragraph
from codebuddy.tool import Call, Tool, ToolError, parse_arguments
from codebuddy.wire.jsonrpc import ANSWER_TOO_LONG, OnProgress, RemoteError, Wire

_PREFIX: Final = "#/$defs/"


class _Input(GenerateJsonSchema):
    """Without titles, which say a field's name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Output(_Input):
    """As an answer is on the wire: what is None is left out, so nothing is ever null, and nothing has a default."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def input_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Give the schema of a tool's arguments."""
    return _inlined(model.model_json_schema(schema_generator=_Input))


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Give the schema of a tool's answer."""
    return _inlined(model.model_json_schema(schema_generator=_Output, mode="serialization"))


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions that are used once where they are used: following a reference takes a checker a while each time.

    What leads back to itself stays a definition.
    """
    definitions = schema.pop("$defs", {})
    uses = Counter(_references(schema)) + Counter(_references(definitions))
    recursive = {name for name in definitions if _reaches(name, name, definitions)}
    once = {name for name in definitions if uses[_PREFIX + name] == 1} - recursive

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("$ref", "")).removeprefix(_PREFIX)
        if name in once:
            return put({**definitions[name], **{key: item for key, item in value.items() if key != "$ref"}})
        return {key: put(item) for key, item in value.items()}

    kept = {name: put(definition) for name, definition in definitions.items() if name not in once}
    whole: dict[str, Any] = put(schema)
    return whole | ({"$defs": kept} if kept else {})


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [found for item in value.values() for found in _references(item)]


def _reaches(start: str, wanted: str, definitions: dict[str, Any]) -> bool:
    """Say whether a definition refers to another, by however many steps."""
    todo, seen = [start], set[str]()
    while todo:
        for reference in _references(definitions.get(todo.pop(), {})):
            name = reference.removeprefix(_PREFIX)
            if name == wanted:
                return True
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return False


MAX_ANSWER_CHARACTERS = 1024 * 1024
"""The longest answer of a spoke that is passed on: a client gets it twice, as text and as structure."""

_MAX_TOLD = 20_000  # characters of a failure
_CODE = re.compile("[a-z][a-z0-9_]{0,63}")

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)
Json = dict[str, Any]


class BadAnswer(Exception):
    """The other side answered what its tool cannot have answered."""


def describe(tool: Tool[Any]) -> Json:
    """Give a tool as ``tools/list`` tells of it."""
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": input_schema(tool.arguments),
        "outputSchema": output_schema(tool.result),
        "annotations": {"readOnlyHint": tool.scope == "read" or tool.looks_only},
    }


async def run_tool(tool: Tool[Any], call: Call, raw: Json | None, log_name: str, with_text: bool = True) -> Json:
    """Run a tool; give the result of ``tools/call``. A failure is a result too.

    Args:
        tool: the tool.
        call: who asks.
        raw: the arguments as they came.
        log_name: where what is logged here is found, as a caller is told.
        with_text: whether the readable form is wanted beside the structure.
    """
    try:
        if tool.scope not in call.principal.scopes:
            raise ToolError(
                "forbidden", f"{tool.name} needs a token with the scope {tool.scope!r}; make one with: make token."
            )
        result = await tool.handler(call, parse_arguments(tool, raw))
        content = [{"type": "text", "text": result.text()}] if with_text else []
        return {"content": content, "structuredContent": result.model_dump(mode="json", exclude_none=True)}
    except ToolError as error:
        return _failure(error)
    except Exception:
        incident = uuid.uuid4().hex[:8]
        log.exception("tool %s failed (incident %s)", tool.name, incident)
        sentence = f"{tool.name} failed inside; {log_name} has it as incident {incident}."
        return _failure(ToolError("internal_error", sentence))


async def call_tool(wire: Wire, tool: str, arguments: Json, answer: type[R], report: OnProgress | None = None) -> R:
    """Call a tool at the other side, which may be hostile: this gives what the model allows, or raises one of these.

    Args:
        wire: the connection.
        tool: the tool's name there.
        arguments: its arguments.
        answer: the model that the answer must fit.
        report: is told what the other side tells.

    Raises:
        ToolError: what the tool raised; ``too_large``.
        BadAnswer: it does not fit.
        RemoteError: the other side refuses the request.
        WireClosed: it is gone.
    """
    try:
        result, characters = await wire.request("tools/call", {"name": tool, "arguments": arguments}, report)
    except RemoteError as error:
        if error.code == ANSWER_TOO_LONG:
            raise _too_large(tool) from None
        raise
    if characters > MAX_ANSWER_CHARACTERS:
        raise _too_large(tool)
    if not isinstance(result, dict):
        raise BadAnswer("the result is no object")
    structured, failed = result.get("structuredContent"), result.get("isError", False)
    if failed is False:
        try:
            return answer.model_validate(structured)
        except ValueError:
            raise BadAnswer("the answer does not fit its schema") from None
    if failed is not True or not isinstance(structured, dict):
        raise BadAnswer("a failure without a code")
    raise _read_failure(structured)


def _too_large(tool: str) -> ToolError:
    return ToolError("too_large", f"The answer to {tool} is too long to pass on; ask for less at once.")


def _read_failure(structured: Json) -> ToolError:
    code, message, path = (structured.get(key) for key in ("code", "message", "path"))
    if not isinstance(code, str) or not isinstance(message, str):
        raise BadAnswer("a failure without a code")
    if not _CODE.fullmatch(code):
        raise BadAnswer("a failure whose code is none")
    return ToolError(code, one_line(message), path[:4096] if isinstance(path, str) else None)


def _failure(error: ToolError) -> Json:
    structured = {"code": error.code, "message": error.message}
    if error.path is not None:
        structured["path"] = error.path
    text = {"type": "text", "text": paragraph(f"{error.code}: {_with_path(error)}", longest=_MAX_TOLD)}
    return {"content": [text], "structuredContent": structured, "isError": True}


def _with_path(error: ToolError) -> str:
    """Say what it is about, unless the message does."""
    shown = one_line(error.path or "", 4096)
    if error.path is None or error.path in error.message or shown in error.message:
        return error.message
    return f"{shown}: {error.message}"
