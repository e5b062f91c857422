"""The programs of tests/clients/programs, which drive an SDK or a command-line client as an agent would.

They send the names of the tools and the results so far, as JSON by call id, and get the next call, or null at the end.
"""

from __future__ import annotations

import json
import re
from typing import Any

from codebuddy_testing.real_clients.script import Answer, Asked, Tool, Turn
from codebuddy_testing.real_clients.wires.common import Reply

PATH = re.compile(r"/plain$")


def read(body: dict[str, Any]) -> Turn:
    """Return the tools and results of a request."""
    results = {call: json.dumps(result, ensure_ascii=False) for call, result in body["results"].items()}
    return Turn([Tool(name) for name in body["tools"]], results)


def write(answer: Answer, body: dict[str, Any], path: str) -> Reply:
    """Return the next call."""
    if isinstance(answer, Asked):
        return Reply.json({"id": answer.id, "tool": answer.tool.name, "arguments": dict(answer.arguments)})
    return Reply.json(None)
