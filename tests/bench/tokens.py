"""Counts what a client's model pays: the tokens of the definitions of the tools, then those of typical answers.

The definitions need no fleet; the answers come from the scenarios' fleet.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hub/src"), str(ROOT / "tests/support")]


from codebuddy.configuration import HubConfiguration, JournalLimits  # noqa: E402
from codebuddy.hub.app import INSTRUCTIONS, Hub  # noqa: E402
from codebuddy.hub.edits.journal import Journal  # noqa: E402
from codebuddy.tool import LOCAL  # noqa: E402
from codebuddy_testing.tokens import TOKENIZER, count_tokens  # noqa: E402

MOST = {"all": 5000, "lean": 1500}


def lists() -> dict[str, list[dict[str, Any]]]:
    """Return what a client is offered in each profile."""
    client = {"address": "127.0.0.1", "port": 1, "published": 1}
    configuration = HubConfiguration.model_validate({"fleet": "bench", "client": client, "projects": {}})
    limits = JournalLimits()
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(configuration, Journal(Path(folder) / "journal", limits.max_bytes, limits.max_age_seconds))
        found = {
            "all": hub.server.offers.tool_list(LOCAL),
            "lean": hub.server.offers.tool_list(replace(LOCAL, tools="lean")),
        }
        hub.engine.close()
    return found


def compact(value: Any) -> str:
    """Return JSON as it is sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main() -> int:
    """Print the tables; fail if the definitions cost more than they may, or the answers do."""
    status = 0
    print(f"Tokens of the definitions that an agent sends to its model ({TOKENIZER})")
    for profile, entries in lists().items():
        sent = [compact({key: entry[key] for key in ("name", "description", "inputSchema")}) for entry in entries]
        counts = count_tokens(sent)
        print(f"\ntools={profile}")
        for entry, count in zip(entries, counts, strict=True):
            print(f"  {entry['name']:<26}{count:>6}")
        total, most = sum(counts), MOST[profile]
        print(
            f"  {len(entries)} tools: {total} of at most {most}; {sum(map(len, sent)) / total:.2f} characters a token"
        )
        status |= total > most
    whole, instructions = lists()["all"], count_tokens([INSTRUCTIONS])[0]
    results = sum(count_tokens([compact(entry["outputSchema"]) for entry in whole]))
    print(f"\ninstructions: {instructions}; schemas of the answers, which agents do not send: {results}\n", flush=True)
    if (ROOT / "tests/bench/answer_tokens.py").exists():
        status |= int(import_module("tests.bench.answer_tokens").main())
    return status


if __name__ == "__main__":
    raise SystemExit(main())
