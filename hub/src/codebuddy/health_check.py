"""``codebuddy health``: reports whether this container is healthy, from the hub's answer or the agent's state file.

The engine runs it every 15 s, so it imports only the standard library, and the agent leaves its state in a file.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from pathlib import Path
from typing import Any

STATE_PATH = Path("/run/codebuddy/state.json")

WRITE_SECONDS = 5.0
"""How often a running agent writes its state."""

FRESH_SECONDS = 20.0
"""A state older than this was written by an agent that hangs."""

ANSWER_SECONDS = 8.0


def write_state(state: dict[str, Any], path: Path = STATE_PATH) -> None:
    """Write the state with the time; readers see either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({**state, "written_at": time.time()}))
    os.replace(temporary, path)


def read_state(path: Path = STATE_PATH) -> dict[str, Any] | None:
    """Read the state; None when there is none or it is stale."""
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict) or time.time() - float(state.get("written_at", 0)) > FRESH_SECONDS:
        return None
    return state


def check(config_path: Path = Path("/etc/codebuddy/config.json")) -> int:
    """Print the container's health as JSON; return 0 when it is healthy, 1 when it is not.

    The hub is healthy when it answers: a spoke that is down makes only that spoke unhealthy. A spoke is healthy when
    its agent runs, its link is connected, its workspace is there and none of its language servers is dead. A degraded
    server does not count: the cause is mostly in the project's files, and the developer is about to fix it.
    """
    healthy, report = _check_spoke() if "PROJECT_ID" in os.environ else _check_hub(config_path)
    print(json.dumps(report))
    return 0 if healthy else 1


def _check_spoke() -> tuple[bool, dict[str, Any]]:
    state = read_state()
    if state is None:
        return False, {"status": "failed", "reason": "the agent has not written its state for a while"}
    reasons = [] if state["link"] == "connected" else [f"link: {state['link_reason'] or state['link']}"]
    reasons += [state["unavailable"]] if state.get("unavailable") else []
    reasons += [
        f"language server {server['name']}: {server.get('reason') or 'dead'}"
        for server in state["language_servers"]
        if server["state"] == "dead"
    ]
    return not reasons, {"status": "degraded" if reasons else "ok", "reason": "; ".join(reasons), **state}


def _check_hub(config_path: Path) -> tuple[bool, dict[str, Any]]:
    try:
        client = json.loads(config_path.read_text())["client"]
        connection = http.client.HTTPConnection(client["address"], client["port"], timeout=ANSWER_SECONDS)
        connection.request("GET", "/health", headers={"Host": f"127.0.0.1:{client['published']}"})
        answer = json.load(connection.getresponse())
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        return False, {"status": "failed", "reason": f"the hub does not answer: {error}"}
    return answer.get("status") in ("ok", "degraded"), answer
