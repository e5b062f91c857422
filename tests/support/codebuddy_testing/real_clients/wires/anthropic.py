"""The Anthropic Messages API, streaming or not (Claude Code)."""

from __future__ import annotations

import json
import re
from typing import Any

from codebuddy_testing.real_clients.script import Answer, Asked, Tool, Turn
from codebuddy_testing.real_clients.wires.common import Reply, server_sent_events, text_of

PATH = re.compile(r"/v1/messages(/count_tokens)?(\?|$)")


def read(body: dict[str, Any]) -> Turn:
    """Return the tools and tool results of a request."""
    results = {}
    for message in body.get("messages", []):
        content = message["content"]
        for block in content if isinstance(content, list) else []:
            if block["type"] == "tool_result":
                results[block["tool_use_id"]] = text_of(block.get("content", ""))
    # A tool that is to be found by search is named in a reminder, and listed once it was found.
    deferred = sorted(set(re.findall(r"mcp__\w+", json.dumps(body.get("messages", [])))))
    return Turn([Tool(tool["name"]) for tool in body.get("tools", [])], results, deferred)


def write(answer: Answer, body: dict[str, Any], path: str) -> Reply:
    """Return a message, as one document or as the events of a stream."""
    if "count_tokens" in path:
        return Reply.json({"input_tokens": 1000})
    start: dict[str, Any]
    if isinstance(answer, Asked):
        block = {"type": "tool_use", "id": answer.id, "name": answer.tool.name, "input": dict(answer.arguments)}
        start = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(answer.arguments)}
    else:
        block = {"type": "text", "text": answer}
        start = {**block, "text": ""}
        delta = {"type": "text_delta", "text": answer}
    reason = "tool_use" if isinstance(answer, Asked) else "end_turn"
    usage = {"input_tokens": 1000, "output_tokens": 10}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model"), "usage": usage}
    if not body.get("stream"):
        return Reply.json({**message, "content": [block], "stop_reason": reason, "stop_sequence": None})
    head: dict[str, Any] = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    return server_sent_events(events, named=True)
