"""The OpenAI Chat Completions API, streaming or not (opencode, Copilot CLI, Cline and the Python frameworks)."""

from __future__ import annotations

import json
import re
from typing import Any

from codebuddy_testing.real_clients.script import Answer, Asked, Tool, Turn
from codebuddy_testing.real_clients.wires.common import Reply, server_sent_events, text_of

PATH = re.compile(r"(/v1)?/chat/completions(\?|$)")


def read(body: dict[str, Any]) -> Turn:
    """Return the tools and tool results of a request."""
    tools = [Tool(tool["function"]["name"]) for tool in body.get("tools") or [] if tool["type"] == "function"]
    results = {
        message["tool_call_id"]: text_of(message["content"])
        for message in body["messages"]
        if message["role"] == "tool"
    }
    return Turn(tools, results)


def write(answer: Answer, body: dict[str, Any], path: str) -> Reply:
    """Return a completion, as one document or as the chunks of a stream."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if isinstance(answer, Asked):
        function = {"name": answer.tool.name, "arguments": json.dumps(answer.arguments)}
        message["tool_calls"] = [{"index": 0, "id": answer.id, "type": "function", "function": function}]
    else:
        message["content"] = answer
    reason = "tool_calls" if isinstance(answer, Asked) else "stop"
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    head = {"id": "chatcmpl-1", "created": 0, "model": body.get("model")}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return Reply.json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    chunk = {**head, "object": "chat.completion.chunk"}
    return server_sent_events(
        [
            {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
            {**chunk, "choices": [], "usage": usage},
        ],
        end="data: [DONE]\n\n",
    )
