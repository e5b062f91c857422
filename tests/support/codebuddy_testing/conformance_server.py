"""The tools, prompts and resources that the official conformance suite asks of a server, behind the hub's transports.

Some tools are tools of ours, and go the way that every tool call of the product goes. The others do what no tool of the
product does (images, questions to the user, subscriptions), so they are handlers of the SDK's server. What each must
answer is said by the suite: https://github.com/modelcontextprotocol/conformance, src/scenarios/server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError

from codebuddy.tool import Arguments, Call, Result, Tool, ToolError
from codebuddy.wire.mcp_server import McpServer

Context = ServerRequestContext[Any, Any]
Json = dict[str, Any]
ToolHandler = Callable[[Context, types.CallToolRequestParams], Awaitable[Json]]

STEP_SECONDS = 0.05
"""The pause that the suite asks for between two notifications."""

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="


# Tools of ours --------------------------------------------------------------------------------------------------------


class NoArguments(Arguments):
    pass


class Said(Result):
    said: str

    def rendered(self, _structured: dict[str, Any]) -> str:
        return self.said


async def _simple_text(_call: Call, _arguments: NoArguments) -> Said:
    return Said(said="This is a simple text response for testing.")


async def _error_handling(_call: Call, _arguments: NoArguments) -> Said:
    raise ToolError("asked_to_fail", "This tool intentionally returns an error for testing.")


async def _with_progress(call: Call, _arguments: NoArguments) -> Said:
    for done in (0, 50, 100):
        await call.progress(done, 100, f"{done} of 100")
        await anyio.sleep(STEP_SECONDS)
    return Said(said="Progress was reported.")


OWN_TOOLS: list[Tool[Any]] = [
    Tool("test_simple_text", "read", "Says a sentence.", NoArguments, Said, _simple_text),
    Tool("test_error_handling", "read", "Fails.", NoArguments, Said, _error_handling),
    Tool("test_tool_with_progress", "read", "Reports progress.", NoArguments, Said, _with_progress),
]


# Content of all kinds, log messages, changes of lists -----------------------------------------------------------------


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _resource(uri: str, mime_type: str, **body: str) -> Json:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, **body}}


_IMAGE = {"type": "image", "data": PNG, "mimeType": "image/png"}

CONTENT: dict[str, list[Json]] = {
    "test_image_content": [_IMAGE],
    "test_audio_content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}],
    "test_embedded_resource": [
        _resource("test://embedded-resource", "text/plain", text="This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        _text("Multiple content types test:"),
        _IMAGE,
        _resource("test://mixed-content-resource", "application/json", text='{"test":"data","value":123}'),
    ],
}


def _always(content: list[Json]) -> ToolHandler:
    async def handle(_context: Context, _params: types.CallToolRequestParams) -> Json:
        return {"content": content}

    return handle


async def _logging(context: Context, _params: types.CallToolRequestParams) -> Json:
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.session.send_log_message("info", message, related_request_id=context.request_id)
        await anyio.sleep(STEP_SECONDS)
    return {"content": [_text("Messages were logged.")]}


class _Changes:
    """Tells the streams of `subscriptions/listen` that a list changed."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()

    async def tools(self, _context: Context, _params: types.CallToolRequestParams) -> Json:
        await self.bus.publish(ToolsListChanged())
        return {"content": [_text("The list of tools changed.")]}

    async def prompts(self, _context: Context, _params: types.CallToolRequestParams) -> Json:
        await self.bus.publish(PromptsListChanged())
        return {"content": [_text("The list of prompts changed.")]}


# Requests to the client, in the handshake era -------------------------------------------------------------------------


def _form(message: str, **properties: Json) -> Json:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def _sample(question: str) -> Json:
    messages = [{"role": "user", "content": _text(question)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}}


async def _sampling(context: Context, params: types.CallToolRequestParams) -> Json:
    request = types.CreateMessageRequest.model_validate(_sample((params.arguments or {})["prompt"]))
    answer = await context.session.send_request(request, types.CreateMessageResult)
    return {"content": [_text(f"LLM response: {answer.content}")]}


def _ask(*forms: Json) -> ToolHandler:
    async def handle(context: Context, params: types.CallToolRequestParams) -> Json:
        (form,) = forms or (_form((params.arguments or {})["message"], username=_STRING, email=_STRING),)
        request = types.ElicitRequest.model_validate(form)
        answer = await context.session.send_request(request, types.ElicitResult)
        return {"content": [_text(f"User response: {answer.model_dump_json()}")]}

    return handle


_STRING = {"type": "string"}
_OPTIONS = ["option1", "option2", "option3"]
_TITLED = [{"const": f"value{n}", "title": f"{word} Option"} for n, word in enumerate(["First", "Second", "Third"], 1)]

DEFAULTS = _form(
    "Please review the values",
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
ENUMS = _form(
    "Please choose",
    untitledSingle={"type": "string", "enum": _OPTIONS},
    titledSingle={"type": "string", "oneOf": _TITLED},
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    titledMulti={"type": "array", "items": {"anyOf": _TITLED}},
)


# The same in the stateless era: an answer that asks, and a call that is repeated with the answers ---------------------

_ASK_NAME = _form("What is your name?", name=_STRING)
_CONFIRM = _form("Please confirm", ok={"type": "boolean"})
_ROOTS = {"method": "roots/list"}


class _Rounds:
    """A tool that asks in one or more rounds. Each round's state is a fixed word, and any other word is refused."""

    def __init__(self, *rounds: dict[str, Json], state: bool = False) -> None:
        self._rounds = rounds
        self._state = state

    def answer(self, context: Context, responses: Any, state: str | None) -> Json | None:
        """Return the questions of the round that is next, or None after the last."""
        known = [f"{context.method} {number}" for number in range(len(self._rounds))]
        if state is not None and state not in known:
            raise MCPError(code=types.INVALID_PARAMS, message="The request state is not one that was sent.")
        current = known.index(state) if state is not None else 0
        if responses is not None and self._rounds[current].keys() <= responses.keys():
            current += 1
        if current == len(self._rounds):
            return None
        asked = {"resultType": "input_required", "inputRequests": self._rounds[current]}
        return {**asked, "requestState": known[current]} if self._state else asked

    async def __call__(self, context: Context, params: types.CallToolRequestParams) -> Json:
        asked = self.answer(context, params.input_responses, params.request_state)
        return asked or {"content": [_text(f"state-ok: {_plain(params.input_responses)}")]}


def _plain(responses: Any) -> str:
    return json.dumps({key: response.model_dump(mode="json") for key, response in (responses or {}).items()})


def _declared(context: Context) -> Json:
    capabilities = context.session.client_capabilities
    return capabilities.model_dump(exclude_none=True) if capabilities is not None else {}


async def _within_capabilities(context: Context, _params: types.CallToolRequestParams) -> Json:
    able = _declared(context)
    asked = {"sampling": {"greeting": _sample("Say hello")}, "elicitation": {"user_name": _ASK_NAME}}
    requests = {key: one for need, each in asked.items() if need in able for key, one in each.items()}
    return {"resultType": "input_required", "inputRequests": requests, "requestState": "asked"}


async def _missing_capability(context: Context, _params: types.CallToolRequestParams) -> Json:
    if "sampling" not in _declared(context):
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="The client must be capable of sampling.",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return {"content": [_text("The client is capable of sampling.")]}


JSON_SCHEMA_2020_12: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": _STRING, "city": _STRING},
        }
    },
    "properties": {
        "name": _STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": _STRING,
        "email": _STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


SCHEMAS: dict[str, Json] = {
    "test_x_mcp_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
    "json_schema_2020_12_tool": JSON_SCHEMA_2020_12,
}
"""The schemas of tools with arguments that the suite looks at."""


def _sdk_tools(changes: _Changes) -> dict[str, ToolHandler]:
    name, everything = {"user_name": _ASK_NAME}, {"greeting": _sample("Generate a greeting"), "client_roots": _ROOTS}
    prefix = "test_input_required_result_"
    return {
        **{tool: _always(content) for tool, content in CONTENT.items()},
        **{tool: _always([_text("It was called.")]) for tool in SCHEMAS},
        "test_tool_with_logging": _logging,
        "test_logging_tool": _logging,
        "test_trigger_tool_change": changes.tools,
        "test_trigger_prompt_change": changes.prompts,
        "test_sampling": _sampling,
        "test_elicitation": _ask(),
        "test_elicitation_sep1034_defaults": _ask(DEFAULTS),
        "test_elicitation_sep1330_enums": _ask(ENUMS),
        "test_missing_capability": _missing_capability,
        "test_streaming_elicitation": _Rounds(name),
        prefix + "elicitation": _Rounds(name),
        prefix + "sampling": _Rounds({"capital_question": _sample("What is the capital of France?")}),
        prefix + "list_roots": _Rounds({"client_roots": _ROOTS}),
        prefix + "request_state": _Rounds({"confirm": _CONFIRM}, state=True),
        prefix + "tampered_state": _Rounds({"confirm": _CONFIRM}, state=True),
        prefix + "multiple_inputs": _Rounds({**name, **everything}, state=True),
        prefix + "multi_round": _Rounds(
            {"step1": _ASK_NAME}, {"step2": _form("What is your favorite color?", color=_STRING)}, state=True
        ),
        prefix + "capabilities": _within_capabilities,
    }


# Prompts, resources, completion ---------------------------------------------------------------------------------------

PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}
_PROMPT_ROUNDS = _Rounds({"user_context": _form("What context should the prompt use?", context=_STRING)})

RESOURCES: dict[str, Json] = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "It may be subscribed to."},
}
TEMPLATE = re.compile("test://template/([^/]+)/data")


async def _list_prompts(_context: Context, _params: types.PaginatedRequestParams) -> types.ListPromptsResult:
    prompts = [
        {"name": name, "description": "A prompt.", "arguments": [{"name": a, "required": True} for a in arguments]}
        for name, arguments in PROMPTS.items()
    ]
    return types.ListPromptsResult.model_validate({"prompts": prompts})


async def _get_prompt(
    context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    contents: dict[str, Callable[[], list[Json]]] = {
        "test_simple_prompt": lambda: [_text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": lambda: [
            _text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
        ],
        "test_prompt_with_embedded_resource": lambda: [
            _resource(given["resourceUri"], "text/plain", text="Embedded resource content for testing."),
            _text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image": lambda: [_IMAGE, _text("Please analyze the image above.")],
        "test_input_required_result_prompt": lambda: [_text(f"Use this context: {_plain(params.input_responses)}")],
    }
    if params.name == "test_input_required_result_prompt":
        asked = _PROMPT_ROUNDS.answer(context, params.input_responses, params.request_state)
        if asked is not None:
            return types.InputRequiredResult.model_validate(asked)
    messages = [{"role": "user", "content": content} for content in contents[params.name]()]
    return types.GetPromptResult.model_validate({"messages": messages})


async def _list_resources(_context: Context, _params: types.PaginatedRequestParams) -> types.ListResourcesResult:
    resources = [
        {"uri": uri, "name": uri.removeprefix("test://"), "description": "A resource.", "mimeType": one["mimeType"]}
        for uri, one in RESOURCES.items()
    ]
    return types.ListResourcesResult.model_validate({"resources": resources})


async def _list_templates(
    _context: Context, _params: types.PaginatedRequestParams
) -> types.ListResourceTemplatesResult:
    template = {"uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json"}
    return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": [template]})


async def _read_resource(_context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    if matched := TEMPLATE.fullmatch(uri):
        data = {"id": matched[1], "templateTest": True, "data": f"Data for ID: {matched[1]}"}
        body = {"mimeType": "application/json", "text": json.dumps(data)}
    elif uri in RESOURCES:
        body = RESOURCES[uri]
    else:
        raise MCPError(code=types.INVALID_PARAMS, message="There is no such resource.", data={"uri": uri})
    return types.ReadResourceResult.model_validate({"contents": [{"uri": uri, **body}]})


async def _nothing(_context: Context, _params: types.RequestParams) -> types.EmptyResult:
    return types.EmptyResult()


async def _complete(_context: Context, _params: types.CompleteRequestParams) -> types.CompleteResult:
    return types.CompleteResult.model_validate({"completion": {"values": ["test1", "test2"], "total": 2}})


# The server -----------------------------------------------------------------------------------------------------------


def conformance_server() -> McpServer:
    """Create the server: the hub's, with tools of the suite, and handlers for what the hub does not serve."""
    server = McpServer("conformance", OWN_TOOLS, "A server for the conformance suite.", "the test's log")
    changes = _Changes()
    tools = _sdk_tools(changes)
    ours, call_ours = (server.get_request_handler(f"tools/{verb}") for verb in ("list", "call"))
    assert ours is not None
    assert call_ours is not None

    async def list_tools(context: Context, params: types.PaginatedRequestParams) -> types.ListToolsResult:
        listed = types.ListToolsResult.model_validate(await ours.handler(context, params))
        others = [
            types.Tool(
                name=name,
                description="A tool of the conformance suite.",
                input_schema=SCHEMAS.get(name, {"type": "object"}),
            )
            for name in tools
        ]
        return listed.model_copy(update={"tools": [*listed.tools, *others]})

    async def call_tool(
        context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in tools:
            return types.CallToolResult.model_validate(await call_ours.handler(context, params))
        answer = await tools[params.name](context, params)
        kind = types.InputRequiredResult if answer.get("resultType") == "input_required" else types.CallToolResult
        return kind.model_validate(answer)

    server.get_tool_input_schema = SCHEMAS.get
    server.add_request_handler("tools/list", types.PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)
    server.add_request_handler("prompts/list", types.PaginatedRequestParams, _list_prompts)
    server.add_request_handler("prompts/get", types.GetPromptRequestParams, _get_prompt)
    server.add_request_handler("resources/list", types.PaginatedRequestParams, _list_resources)
    server.add_request_handler("resources/templates/list", types.PaginatedRequestParams, _list_templates)
    server.add_request_handler("resources/read", types.ReadResourceRequestParams, _read_resource)
    server.add_request_handler("resources/subscribe", types.SubscribeRequestParams, _nothing)
    server.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, _nothing)
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _nothing)
    server.add_request_handler("completion/complete", types.CompleteRequestParams, _complete)
    server.add_request_handler(
        "subscriptions/listen", types.SubscriptionsListenRequestParams, ListenHandler(changes.bus)
    )
    return server
