"""Gemini's generateContent, streaming or not (Gemini CLI)."""

from __future__ import annotations

import json
import re
from typing import Any

from codebuddy_testing.real_clients.script import Answer, Asked, Tool, Turn
from codebuddy_testing.real_clients.wires.common import Reply, server_sent_events

PATH = re.compile(r"/v1beta/models/[^/:]+:(generateContent|streamGenerateContent|countTokens)(\?|$)")


def read(body: dict[str, Any]) -> Turn:
    """Return the tools and tool results of a request. Results have no ids of ours: they are counted."""
    tools = [
        Tool(declared["name"]) for group in body.get("tools", []) for declared in group.get("functionDeclarations", [])
    ]
    told = [
        part["functionResponse"]["response"]
        for content in body.get("contents", [])
        for part in content.get("parts", [])
        if "functionResponse" in part
    ]
    return Turn(tools, {f"call_{number}": _text(response) for number, response in enumerate(told)})


def _text(response: dict[str, Any]) -> str:
    if len(response) == 1 and isinstance(only := next(iter(response.values())), str):
        return only
    return json.dumps(response, ensure_ascii=False)


def write(answer: Answer, body: dict[str, Any], path: str) -> Reply:
    """Return a candidate, as one document or as a stream of one."""
    if "countTokens" in path:
        return Reply.json({"totalTokens": 1000})
    part: dict[str, Any]
    if isinstance(answer, Asked):
        part = {"functionCall": {"name": answer.tool.name, "args": dict(answer.arguments)}, "thoughtSignature": "c2ln"}
    else:
        part = {"text": answer}
    document = {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 10, "totalTokenCount": 1010},
    }
    return server_sent_events([document]) if "streamGenerateContent" in path else Reply.json(document)
