"""The OpenAI Responses API, streaming or not (Codex)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from codebuddy_testing.real_clients.script import Answer, Asked, Tool, Turn
from codebuddy_testing.real_clients.wires.common import Reply, server_sent_events, text_of

PATH = re.compile(r"(/v1)?/responses(\?|$)")


def read(body: dict[str, Any]) -> Turn:
    """Return the tools, those found by search too, and the tool results of a request."""
    tools = list(_tools(body.get("tools", [])))
    results = {}
    items = body.get("input", [])
    for item in items if isinstance(items, list) else []:
        if item.get("type") == "function_call_output":
            results[item["call_id"]] = text_of(item["output"])
        elif item.get("type") == "tool_search_output":
            results[item["call_id"]] = json.dumps(item["tools"])
            tools += _tools(item["tools"])
    return Turn(tools, results)


def _tools(offered: list[dict[str, Any]], group: str | None = None) -> Iterator[Tool]:
    for tool in offered:
        if tool["type"] == "namespace":
            yield from _tools(tool["tools"], tool["name"])
        elif tool["type"] == "function":
            yield Tool(tool["name"], group)
        else:
            yield Tool(str(tool["type"]))


def write(answer: Answer, body: dict[str, Any], path: str) -> Reply:
    """Return a response, as one document or as the events of a stream."""
    item: dict[str, Any]
    if isinstance(answer, Asked) and answer.tool.name == "tool_search":
        item = {
            "type": "tool_search_call",
            "call_id": answer.id,
            "execution": "client",
            "arguments": {**answer.arguments, "limit": 8},
        }
    elif isinstance(answer, Asked):
        item = {
            "type": "function_call",
            "call_id": answer.id,
            "name": answer.tool.name,
            "arguments": json.dumps(answer.arguments),
        }
        if answer.tool.group is not None:
            item["namespace"] = answer.tool.group
    else:
        content = [{"type": "output_text", "text": answer, "annotations": []}]
        item = {"type": "message", "role": "assistant", "content": content}
    item |= {"id": "item_1", "status": "completed"}
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1010,
    }
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": body.get("model"),
        "status": "completed",
        "output": [item],
        "usage": usage,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
    }
    if not body.get("stream"):
        return Reply.json(response)
    started = {**response, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
    return server_sent_events(({**event, "sequence_number": number} for number, event in enumerate(events)), named=True)
