"""What clients and agents do with the deployed hub: each test is a column of the table that is printed last."""

from __future__ import annotations

import json
import signal
from concurrent.futures import Future

import pytest

from codebuddy_testing.real_clients.client import Client
from codebuddy_testing.real_clients.scenarios import ERROR, IN_FILE, READ, SILENT_END, Bench, Seen, run_without_end
from codebuddy_testing.real_clients.script import Call
from codebuddy_testing.real_clients.table import Outcome
from codebuddy_testing.waiting import DEADLINE_SECONDS, ENDED_SECONDS, wait_until


@pytest.mark.scenario("list")
def test_the_model_is_offered_every_tool(basics: Seen, tools: frozenset[str], outcome: Outcome) -> None:
    outcome.settle(basics.model.offered == tools, f"{len(basics.model.offered)} of {len(tools)}", basics)


@pytest.mark.scenario("call")
def test_the_model_sees_what_a_file_holds(basics: Seen, outcome: Outcome) -> None:
    outcome.settle(basics.has(0, IN_FILE), "ok", basics)


@pytest.mark.scenario("error")
def test_the_model_sees_the_code_and_the_sentence_of_a_failure(basics: Seen, outcome: Outcome) -> None:
    outcome.settle(basics.has(1, ERROR), "ok", basics)


@pytest.mark.scenario("progress")
def test_progress_reaches_the_client_before_the_result(basics: Seen, client: Client, outcome: Outcome) -> None:
    if not client.progress:
        outcome.leave_out("shows its model no progress")
    messages = [message for _, message in json.loads(basics.results[2])["progress"]]
    outcome.settle(any("first" in message for message in messages), f"{len(messages)} messages", basics)


@pytest.mark.scenario("killed")
def test_a_run_ends_when_the_client_is_killed(bench: Bench, outcome: Outcome) -> None:
    with bench.start([run_without_end(marker := bench.marker())]) as seen:
        wait_until(lambda: bench.runs(marker), "the run has begun", DEADLINE_SECONDS)
        seconds = bench.end_of_run(marker, lambda: seen.client.send(signal.SIGKILL))
    outcome.settle(seconds < ENDED_SECONDS, f"{seconds:.1f} s", seen)


@pytest.mark.scenario("interrupted")
def test_a_run_ends_when_the_client_is_interrupted(bench: Bench, client: Client, outcome: Outcome) -> None:
    with bench.start([run_without_end(marker := bench.marker()), READ]) as seen:
        wait_until(lambda: bench.runs(marker), "the run has begun", DEADLINE_SECONDS)
        seconds = bench.end_of_run(marker, seen.client.cancel if client.cancels else seen.client.interrupt)
        if client.cancels:
            seen.client.wait(DEADLINE_SECONDS)
    # A client that only cancels its call goes on with its session.
    well = seconds < ENDED_SECONDS and (seen.has(1, IN_FILE) or not client.cancels)
    outcome.settle(well, f"{seconds:.1f} s", seen)


@pytest.mark.scenario("restart")
def test_a_session_outlives_a_restart_of_the_hub(bench: Bench, outcome: Outcome) -> None:
    def restart() -> None:
        bench.fleet.container("hub").restart()
        wait_until(bench.fleet.is_healthy, "the fleet is healthy again")

    seen = bench.finish([READ, Call(READ.tool, READ.arguments, before=restart)])
    outcome.settle(seen.has(0, IN_FILE) and seen.has(1, IN_FILE), "ok", seen)


@pytest.mark.scenario("silent")
def test_a_run_that_says_nothing_for_long_is_not_lost(
    silent_runs: dict[str, Future[Seen]], client: Client, outcome: Outcome
) -> None:
    seen = silent_runs[client.name].result()
    well, word = seen.has(-1, SILENT_END), f"{len(seen.results)} calls"
    if client.progress:  # every ten seconds it is told that the call goes on, until that answers after 45
        beats = len(json.loads(seen.results[0])["progress"])
        well, word = well and beats >= 3, f"{word}, {beats} beats"
    outcome.settle(well, word, seen)
