"""`install` and `test` of projects that others wrote give the counts that a person sees in a plain container."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codebuddy_testing.real_bench import SECONDS, TABLE, Bench
from codebuddy_testing.real_projects import Totals


def run_task(bench: Bench, task: str, *words: str) -> dict[str, Any]:
    """Run a task through the hub."""
    arguments: dict[str, Any] = {"task": task, "arguments": words, "projects": [bench.name], "detail": "full"}
    arguments |= {"timeout_seconds": SECONDS, "wait_seconds": 600, "output_limit": 4000}
    done = bench.fleet.run("hub", "codebuddy", "call", "run_task", json.dumps(arguments))
    (result,) = json.loads(done.output)["results"]
    return dict(result)


def tasks(bench: Bench) -> list[str]:
    done = bench.fleet.run("hub", "codebuddy", "call", "list_projects", '{"detail": "full"}')
    (project,) = [one for one in json.loads(done.output)["projects"] if one["id"] == bench.name]
    return list(project["tasks"])


def test_install_and_test_count_what_a_person_counts(bench: Bench, request: pytest.FixtureRequest) -> None:
    row = request.config.stash[TABLE][bench.name] = ["-", "-"]
    printed = bench.by_hand()
    try:
        by_hand = bench.project.totals(printed)
    except IndexError:
        pytest.fail(f"no totals were printed: {printed[-3000:]}")
    row[1] = ", ".join(map(str, by_hand))
    if "install" in tasks(bench):
        installed = run_task(bench, "install")
        assert installed["exit_code"] == 0, installed
    tested = run_task(bench, "test", *bench.project.arguments)
    assert tested.get("counts"), tested
    through_hub = Totals(**{name: tested["counts"][name] for name in Totals._fields})
    row[0] = ", ".join(map(str, through_hub))
    assert through_hub == by_hand, tested.get("failures")
