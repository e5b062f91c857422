"""Asks the scripted model for tool calls, as an agent without a model would (see real_clients/wires/plain.py).

Runs in the clients' own virtual environments. An interrupt cancels the call in flight, and the script goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

HUB = os.environ["HUB_URL"]
HEADERS = {"Authorization": f"Bearer {os.environ['HUB_TOKEN']}"}
PROCESS = json.loads(os.environ["HUB_PROCESS"])
MODEL = os.environ["MODEL_URL"]

Call = Callable[[str, dict[str, Any], Callable[..., Awaitable[None]]], Awaitable[Any]]
"""Calls a tool by name with arguments and a callback for its progress."""


def plain(value: Any) -> Any:
    """Return an answer of an SDK as JSON."""
    return json.loads(value.model_dump_json(by_alias=True, exclude_none=True))


async def drive(tools: list[str], call: Call) -> None:
    """Do what the script says."""
    results: dict[str, Any] = {}
    while (asked := await asyncio.to_thread(_ask, {"tools": tools, "results": results})) is not None:
        results[asked["id"]] = await _carry_out(asked, call)


async def _carry_out(asked: dict[str, Any], call: Call) -> Any:
    seen: list[Any] = []

    async def note(progress: float, total: float | None = None, message: str | None = None) -> None:
        seen.append([progress, message])

    async def make_call() -> Any:
        return await call(asked["tool"], asked["arguments"], note)

    task = asyncio.create_task(make_call())
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        return {"answer": await task, "progress": seen}
    except asyncio.CancelledError:
        return {"cancelled": True}
    except Exception as error:
        return {"exception": f"{type(error).__name__}: {error}", "progress": seen}


def _ask(question: dict[str, Any]) -> dict[str, Any] | None:
    request = urllib.request.Request(
        f"{MODEL}/plain", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        found: dict[str, Any] | None = json.load(answer)
    return found
