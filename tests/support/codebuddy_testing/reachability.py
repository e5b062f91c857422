"""Which addresses a container can connect to."""

from __future__ import annotations

import json

from codebuddy_testing.deployment import Deployment

CONNECT = """
import asyncio, json, sys

async def attempt(target):
    address, port = target.rsplit(":", 1)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, int(port)), 2)
    except OSError as error:
        return type(error).__name__
    writer.close()
    return "connected"

async def main():
    print(json.dumps(dict(zip(sys.argv[1:], await asyncio.gather(*map(attempt, sys.argv[1:]))))))

asyncio.run(main())
"""


def connect(fleet: Deployment, part: str, *targets: str) -> dict[str, str]:
    """Connect to each ``address:port`` at once; return ``connected`` or the name of the error for each."""
    done = fleet.python(part, CONNECT, *targets)
    assert done.code == 0, done.output
    outcomes: dict[str, str] = json.loads(done.output)
    return outcomes


def reached(outcomes: dict[str, str]) -> list[str]:
    """List the targets that answered; a refusal is an answer too."""
    return [target for target, outcome in outcomes.items() if outcome in ("connected", "ConnectionRefusedError")]
