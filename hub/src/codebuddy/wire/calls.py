"""MCP tools as messages: their description with schemas, a call served here, and a call sent to the other side.

Clients read the schemas, models pay for them and SDKs validate with them, so they are as short as possible.
"""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from codebuddy.text_safety import one_line, paragraph
from codebuddy.tool import Call, Tool, ToolError, ToolSpec, no_progress, parse_arguments, require_scope, take_detail
from codebuddy.wire.jsonrpc import ANSWER_TOO_LONG, OnProgress, RemoteError, RpcConnection

MAX_ANSWER_CHARACTERS: Final = 1024 * 1024
"""The longest answer of a spoke that is passed on: a client gets it twice, as text and as structure."""

ERROR_KEY: Final = "codebuddy/error"
"""The key in the ``_meta`` of a failed call's result; its value has ``code``, ``message`` and, for some, ``path``."""

_MAX_FAILURE_CHARACTERS: Final = 20_000
_CODE: Final = re.compile("[a-z][a-z0-9_]{0,63}")
_LIMITS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems")
_LEFT_OUT: Final = frozenset({"title", "maxItems", "pattern", *_LIMITS})
_PLAIN: Final = frozenset({"limit", "timeout_seconds"})  # a model need not know their defaults
_SAME: Final = frozenset({"complete", "truncated"})  # besides all strings: of one type in a lean and in a full answer

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)
Json = dict[str, Any]


class BadAnswer(Exception):
    """The other side answered what its tool cannot have answered."""


class _Sent(GenerateJsonSchema):
    """Describes what is sent: a field of None is left out, so nothing is nullable."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = schema.get("default")
        return {**inner, "default": default} if default else inner


def input_schema(model: type[BaseModel]) -> Json:
    """Return the schema of a tool's arguments, those that are required first.

    It is the price of a tool, on every request of most agents: it has no titles, no words about models, no limits (a
    value outside of them is refused with a sentence, as is an unknown argument), and no default that a model need not
    know.
    """
    schema = model.model_json_schema(schema_generator=_Sent)
    schema = _bare(schema, schema.pop("$defs", {}))
    required = schema.get("required", [])
    properties: Json = schema["properties"]
    for name in _PLAIN & properties.keys():
        properties[name].pop("default", None)
    first = {name: properties[name] for name in sorted(properties, key=lambda name: name not in required)}
    return {**schema, "properties": first}


def output_schema(model: type[BaseModel]) -> Json:
    """Return a schema that a tool's answer fits, lean or full: the fields that are the same in both.

    A lean answer may leave out any of them. That there may be more is said for clients that make types of it.
    """
    schema = model.model_json_schema(schema_generator=_Sent, mode="serialization")
    same = {
        name: {"type": field["type"]}
        for name, field in schema["properties"].items()
        if field.get("type") == "string" or name in _SAME
    }
    return {"type": "object", "properties": same, "additionalProperties": True}


def _bare(schema: Any, definitions: Json) -> Any:
    """Leave out of a schema all but types, names and the words about single fields; put definitions in their places."""
    if isinstance(schema, list):
        return [_bare(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        of_field = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_bare(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions), **of_field}
    return {
        key: {name: _bare(item, definitions) for name, item in value.items()}
        if key == "properties"
        else _bare(value, definitions)
        for key, value in schema.items()
        if key not in _LEFT_OUT
        and not (key == "description" and "properties" in schema)
        and not (key == "additionalProperties" and isinstance(value, bool))
    }


def describe_tool(tool: ToolSpec[Any], has_egress: bool = True) -> Json:
    """Return a tool's entry in the answer to ``tools/list``.

    ``has_egress`` says whether any project that the caller may use reaches anything outside.
    """
    hints = {"readOnlyHint": tool.changes_nothing, "openWorldHint": tool.starts_programs and has_egress}
    if not tool.changes_nothing:
        hints |= {"destructiveHint": tool.destructive, "idempotentHint": tool.idempotent}
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": input_schema(tool.arguments),
        "outputSchema": output_schema(tool.result),
        "annotations": hints,
        **({"_meta": {"anthropic/maxResultSizeChars": tool.result.longest}} if tool.result.longest else {}),
    }


async def run_tool(tool: Tool[Any], call: Call, raw: Json | None, log_name: str, for_hub: bool = False) -> Json:
    """Run a tool and return the result of ``tools/call``; a failure is a result too.

    Args:
        log_name: tells the caller where to find what is logged here.
        for_hub: the hub asks, on a link: it gets the whole structured answer, and makes the readable text itself.
    """
    try:
        require_scope(call.principal, tool)
        if for_hub:
            result = await tool.handler(call, parse_arguments(tool, raw))
            return {"content": [], "structuredContent": result.structured("full")}
        detail, raw = take_detail(raw)
        result = await tool.handler(call, parse_arguments(tool, raw))
        structured = result.structured(detail)
        return {"content": [{"type": "text", "text": result.rendered(structured)}], "structuredContent": structured}
    except ToolError as error:
        return failure(error)
    except Exception:
        incident = uuid.uuid4().hex[:8]
        log.exception("tool %s failed (incident %s)", tool.name, incident)
        sentence = f"{tool.name} failed inside; {log_name} has it as incident {incident}."
        return failure(ToolError("internal_error", sentence))


def failure(error: ToolError) -> Json:
    """Return the result of a call that failed; the code stands in the text and in ``_meta``.

    It has no structured content: clients on the TypeScript SDK 1.x check that against the tool's output schema even
    when ``isError`` is set, and show the mismatch in place of the failure.
    """
    details = {"code": error.code, "message": error.message}
    message = error.message
    if error.path is not None:
        details["path"] = error.path
        shown = one_line(error.path, 4096)
        if error.path not in message and shown not in message:
            message = f"{shown}: {message}"
    text = paragraph(f"{error.code}: {message}", _MAX_FAILURE_CHARACTERS)
    return {"content": [{"type": "text", "text": text}], "_meta": {ERROR_KEY: details}, "isError": True}


async def call_tool(
    connection: RpcConnection,
    tool: str,
    arguments: Json,
    answer: type[R],
    report: OnProgress | None = None,
    *,
    detach_after: float | None = None,
) -> R:
    """Call a tool of the other side, which may be hostile: nothing but the model or these exceptions comes out.

    ``detach_after`` as for `RpcConnection.request`.

    Raises:
        ToolError: the tool failed with it; ``too_large``.
        BadAnswer: the answer does not fit the model.
        RemoteError: the other side refuses the request.
        ConnectionLost: the other side is gone.
        TimeoutError: no answer came within ``detach_after``.
    """
    try:
        params = {"name": tool, "arguments": arguments}
        wanted = None if report is no_progress else report
        result, characters = await connection.request("tools/call", params, wanted, detach_after)
    except RemoteError as error:
        if error.code == ANSWER_TOO_LONG:
            raise _too_large(tool) from None
        raise
    if characters > MAX_ANSWER_CHARACTERS:
        raise _too_large(tool)
    if not isinstance(result, dict):
        raise BadAnswer("the result is no object")
    failed = result.get("isError", False)
    if failed is False:
        try:
            return answer.model_validate(result.get("structuredContent"))
        except ValueError:
            raise BadAnswer("the answer does not fit its schema") from None
    details = error_details(result)
    if failed is not True or details is None:
        raise BadAnswer("a failure without a code")
    raise _received_failure(details)


def error_details(result: Json) -> Json | None:
    """Return the ``code``, ``message`` and ``path`` of a failed call's result, unchecked; None if it has none."""
    meta = result.get("_meta")
    details = meta.get(ERROR_KEY) if isinstance(meta, dict) else None
    return details if isinstance(details, dict) else None


def _received_failure(details: Json) -> ToolError:
    code, message, path = (details.get(key) for key in ("code", "message", "path"))
    if not isinstance(code, str) or not isinstance(message, str):
        raise BadAnswer("a failure without a code")
    if not _CODE.fullmatch(code):
        raise BadAnswer("a failure whose code is not an identifier")
    return ToolError(code, one_line(message), path[:4096] if isinstance(path, str) else None)


def _too_large(tool: str) -> ToolError:
    return ToolError("too_large", f"The answer to {tool} is too long to pass on; ask for less at once.")
