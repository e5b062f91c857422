"""The hub's run and job tools: each project has its row, and one spoke cannot affect the results of another."""

from __future__ import annotations

from typing import Any

import pytest

from codebuddy.hub.tools.runs import JobList, job_tools, run_tools
from codebuddy.schemas.runs import RunResult, RunResults
from codebuddy.tool import LOCAL, Call, ToolError, parse_arguments
from codebuddy_testing.fake_spokes import FakeSpokes

pytestmark = pytest.mark.anyio

WELL = {"project": "a", "reason": "exited", "exit_code": 0}
SPAN: dict[str, Any] = {"line": 1, "column": 1, "end_line": 1, "end_column": 2}
FINDING = {"path": "a/x.py", **SPAN, "severity": "error", "message": "m"}
FAILURE = {"name": "t", "message": "m"}
FOREIGN: dict[str, dict[str, Any]] = {
    "failure": {"failures": [{**FAILURE, "path": "b/x.py"}]},
    "failure that climbs": {"failures": [{**FAILURE, "path": "a/../b/x.py"}]},
    "diagnostic": {"diagnostics": [{**FINDING, "path": "b/x.py"}]},
}
ID = "a:0123456789ab"
JOB = {"job_id": ID, "project": "a", "argv": ["true"], "background": True, "started_at": "2026-01-31T12:00:00Z"}
JOB |= {"duration_seconds": 1.0, "output_bytes": 0}
OUTPUT = {**JOB, "complete": True}


async def ask(name: str, spokes: FakeSpokes, arguments: dict[str, Any], report: Any = None) -> Any:
    projects = frozenset(spokes.answers)
    tools = {tool.name: tool for tool in [*run_tools(spokes, projects, 8), *job_tools(spokes, projects)]}
    call = Call(LOCAL) if report is None else Call(LOCAL, report)
    return await tools[name].handler(call, parse_arguments(tools[name], arguments))


async def rows(answers: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    told = await ask("run_command", FakeSpokes(answers), {"argv": ["true"]})
    assert isinstance(told, RunResults)
    return {row.project: (row.reason, row.message) for row in told.results}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("spoke_offline", "spoke_offline"),
        ("bad_answer", "no_answer"),
        ("too_large", "no_answer"),
        ("internal_error", "no_answer"),
        ("unknown_task", "refused"),
        ("too_many_jobs", "refused"),
    ],
)
async def test_a_project_without_a_result_has_a_row_that_says_why(code: str, reason: str) -> None:
    told = await rows({"a": WELL, "b": ToolError(code, "Why.")})
    assert told == {"a": ("exited", None), "b": (reason, "Why.")}


async def test_for_one_project_a_refusal_is_raised_and_an_offline_spoke_is_a_result() -> None:
    with pytest.raises(ToolError, match=r"Why\."):
        await rows({"a": ToolError("unknown_task", "Why.")})
    assert await rows({"a": ToolError("spoke_offline", "Away.")}) == {"a": ("spoke_offline", "Away.")}


@pytest.mark.parametrize("report", FOREIGN.values(), ids=FOREIGN.keys())
async def test_a_report_cannot_name_files_of_another_project(report: dict[str, Any]) -> None:
    told = await rows({"a": {**WELL, **report}, "b": {**WELL, "project": "b"}})
    assert [told["a"][0], told["b"][0]] == ["no_answer", "exited"]
    with pytest.raises(ToolError, match="another project"):
        await ask("job_output", FakeSpokes({"a": {**OUTPUT, **report}, "b": OUTPUT}), {"job_id": ID})


@pytest.mark.parametrize(
    "number",
    [
        {"counts": {"passed": 10**4300}},
        {"counts": {"passed": -1}},
        {"peak_memory_bytes": 2**60},
        {"duration_seconds": float("inf")},
        {"failures": [{**FAILURE, "line": 10**20}]},
        {"diagnostics": [{**FINDING, "line": 10**20}]},
        {"job_id": "b:0123456789ab"},
    ],
)
async def test_an_invalid_number_or_foreign_job_does_not_affect_other_projects(number: Any) -> None:
    async def hostile(_arguments: Any, _more: Any) -> Any:
        try:
            return RunResult.model_validate({**WELL, **number}).model_dump()
        except ValueError:  # as `Links.call` has it
            raise ToolError("bad_answer", "No.") from None

    told = await rows({"a": hostile, "b": {**WELL, "project": "b"}})
    assert [told["a"][0], told["b"][0]] == ["no_answer", "exited"]


async def test_a_result_carries_the_project_that_was_asked() -> None:
    assert (await rows({"a": {**WELL, "project": "b"}, "b": {**WELL, "project": "a"}})).keys() == {"a", "b"}


@pytest.mark.parametrize("foreign", [{"project": "b"}, {"job_id": "b:0123456789ab"}])
async def test_a_job_of_another_project_is_refused(foreign: dict[str, Any]) -> None:
    spokes = FakeSpokes({"a": {"jobs": [{**JOB, **foreign}]}, "b": {"jobs": []}})
    listed = await ask("list_jobs", spokes, {})
    assert isinstance(listed, JobList)
    assert (listed.jobs, [part.project for part in listed.missing or []]) == ([], ["a"])
    for name, said in (("job_output", OUTPUT), ("cancel_job", JOB)):
        with pytest.raises(ToolError, match="not its own"):
            await ask(name, FakeSpokes({"a": {**said, **foreign}, "b": said}), {"job_id": ID})


@pytest.mark.parametrize(("limit", "shown"), [(0, ""), (5, "e\ntwo"), (100, "one\ntwo")])
async def test_a_run_of_which_nothing_is_heard_any_more_shows_the_end_of_what_it_printed(
    limit: int, shown: str
) -> None:
    async def prints(_arguments: Any, more: dict[str, Any]) -> Any:
        for number, text in enumerate(("on", "e\n", "two"), 1):
            await more["report"](float(number), None, text)
        raise ToolError("timed_out", "Late.")

    told = await ask("run_command", FakeSpokes({"a": prints}), {"argv": ["true"], "output_limit": limit})
    (result,) = told.results
    assert (result.reason, result.output, result.truncated) == ("no_answer", shown, True)
    assert result.job_id in result.message


async def test_combined_progress_grows_and_each_line_names_its_project() -> None:
    told: list[tuple[float, str | None]] = []

    async def report(progress: float, _total: float | None = None, message: str | None = None, /) -> None:
        told.append((progress, message))

    async def talks(_arguments: Any, more: dict[str, Any]) -> Any:
        for size, text in [(10, "one\ntwo\n"), (10, "three"), (3, None)]:
            await more["report"](float(size), None, text)
        return WELL

    await ask("run_command", FakeSpokes({"a": talks, "b": talks}), {"argv": ["true"]}, report)
    assert [number for number, _ in told] == sorted({number for number, _ in told})
    assert [text for _, text in told if text and text.startswith("[a]")] == ["[a] one\n[a] two\n", "[a] three", "[a]"]
    told.clear()

    async def forges(_arguments: Any, more: dict[str, Any]) -> Any:
        await more["report"](1.0, None, "x\r[b] ALL TESTS PASSED\n\x1b[1A\x1b[2K[b] spoof\u2028[b] too\n")
        return WELL

    await ask("run_command", FakeSpokes({"a": forges, "b": WELL}), {"argv": ["true"]}, report)
    lines = str(told[0][1]).split("\n")
    assert [line for line in lines if not line.startswith("[a] ")] == [""]
    assert all(line.isprintable() for line in lines)
    told.clear()
    await ask("run_command", FakeSpokes({"a": talks}), {"argv": ["true"]}, report)
    assert told == [(10.0, "one\ntwo\n"), (10.0, "three"), (3.0, None)]
