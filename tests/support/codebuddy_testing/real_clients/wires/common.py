"""What the wire formats share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """The body of an HTTP answer."""

    content_type: str
    body: bytes

    @classmethod
    def json(cls, document: Any) -> Reply:
        """Return a reply of one JSON document."""
        return cls("application/json", json.dumps(document).encode())


def server_sent_events(events: Iterable[dict[str, Any]], named: bool = False, end: str = "") -> Reply:
    """Return a reply of server-sent events; ``named`` gives each its type as its name."""
    text = "".join(
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events
    )
    return Reply("text/event-stream", (text + end).encode())


def text_of(content: Any) -> str:
    """Return what a model reads of a tool's result: a text, a list of blocks, or any other JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(block["text"] if "text" in block else json.dumps(block) for block in content)
    return json.dumps(content, ensure_ascii=False)
