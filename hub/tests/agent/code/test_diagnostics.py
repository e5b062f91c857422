"""Diagnostics belong to the text that is on disk; none is only said when that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp.tree import Tree
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio
PULL: dict[str, Any] = {"diagnosticProvider": {}}
DIAGNOSTIC = "textDocument/diagnostic"
OPENED = "textDocument/didOpen"
CHANGED = "textDocument/didChange"
RANGE = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 4}}


def finding(message: str) -> dict[str, Any]:
    return {"range": RANGE, "severity": 1, "message": message}


def published(*messages: str, **more: Any) -> dict[str, Any]:
    params = {"uri": "@uri", "diagnostics": [finding(one) for one in messages], **more}
    return {"notify": ["textDocument/publishDiagnostics", params]}


async def test_what_is_published_for_the_present_version_is_given(start: Any, root: Path) -> None:
    on = {OPENED: [[published("old", version="@version")]], CHANGED: [[published("new", version="@version")]]}
    async with start(on) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert [one.message for one in answer.diagnostics] == ["old"]
        (root / "main.py").write_text("changed\n")
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["new"])


async def test_what_is_published_for_another_version_is_not_an_answer(start: Any) -> None:
    async with start({OPENED: [[published(version=99)]]}) as fake:
        answer = await fake.diagnostics(path="p/main.py", timeout_seconds=0.5)
        assert (answer.complete, answer.reason, answer.diagnostics) == (False, "timed_out", [])


async def test_without_a_version_what_comes_after_the_text_counts(start: Any, root: Path) -> None:
    async with start({OPENED: [[published("old")]], CHANGED: [[], [published()]]}) as fake:
        assert len((await fake.diagnostics(path="p/main.py")).diagnostics) == 1
        (root / "main.py").write_text("changed\n")
        assert (await fake.diagnostics(path="p/main.py", timeout_seconds=0.5)).reason == "timed_out"
        (root / "main.py").write_text("changed again\n")
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, answer.diagnostics) == (True, [])


async def test_what_was_published_before_another_file_changed_is_no_answer(start: Any, root: Path) -> None:
    on = {OPENED: [[published(version="@version")]], CHANGED: [[published("now wrong", version="@version")]]}
    async with start(on) as fake:
        for _ in range(2):
            assert (await fake.diagnostics(path="p/main.py")).diagnostics == []
            assert fake.sent(CHANGED) == []  # nothing changed, and nothing is sent again
        (root / "shop.py").write_text("def other(): ...\n")
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["now wrong"])


REGISTERED = {"registrations": [{"id": "d", "method": DIAGNOSTIC, "registerOptions": {"identifier": "x"}}]}
REGISTER = {"ask": [1, "client/registerCapability", REGISTERED]}


@pytest.mark.parametrize("order", ["before", "instead", "after"])
async def test_a_server_that_offers_to_be_asked_late_is_asked_and_its_first_glance_is_no_answer(
    order: str, start: Any
) -> None:
    glance = published(version="@version")
    steps = {"before": [REGISTER, glance], "instead": [REGISTER], "after": [glance, REGISTER]}[order]
    on = {OPENED: [steps], DIAGNOSTIC: [[{"reply": {"kind": "full", "items": [finding("wrong")]}}]]}
    async with start(on) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["wrong"])


async def test_a_crash_while_waiting_is_told_as_one(start: Any) -> None:
    async with start({OPENED: [[{"exit": 3}]]}) as fake:
        assert (await fake.diagnostics(path="p/main.py")).reason == "server_crashed"


async def test_a_server_that_can_be_asked_is_asked_and_what_it_publishes_is_added(start: Any) -> None:
    on = {DIAGNOSTIC: [[published("from a run"), {"reply": {"kind": "full", "items": [finding("asked")]}}]]}
    async with start(on, PULL) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert sorted(one.message for one in answer.diagnostics) == ["asked", "from a run"]


def run(kind: str) -> dict[str, Any]:
    return {"notify": ["$/progress", {"token": "x/flycheck/0", "value": {"kind": kind, "title": "cargo check"}}]}


QUIESCENT = {"notify": ["experimental/serverStatus", {"quiescent": True, "health": "ok"}]}
SAVED = "textDocument/didSave"
NOTHING = [{"reply": {"kind": "full", "items": []}}]


async def test_a_compiler_run_is_waited_for_and_asked_for_again_after_a_change(start: Any, root: Path) -> None:
    on = {
        "initialized": [[QUIESCENT, run("begin")]],
        OPENED: [[published("first run"), run("end")]],
        SAVED: [[run("begin"), published("second run", version="@version"), run("end")]],
        DIAGNOSTIC: [NOTHING],
    }
    async with start(on, {**PULL, "textDocumentSync": {"save": {}}}, ready="server_status") as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["first run"])
        await fake.diagnostics(path="p/main.py")
        assert fake.sent(SAVED) == []
        (root / "main.py").write_text("changed\n")
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, [one.message for one in answer.diagnostics]) == (True, ["second run"])


async def test_a_compiler_run_that_does_not_end_is_told(start: Any) -> None:
    on = {"initialized": [[QUIESCENT, run("begin")]], DIAGNOSTIC: [NOTHING]}
    async with start(on, PULL, ready="server_status") as fake:
        answer = await fake.diagnostics(path="p/main.py", timeout_seconds=1.0)
        assert (answer.complete, answer.reason, answer.diagnostics) == (False, "timed_out", [])


async def test_a_server_that_is_in_trouble_does_not_say_that_all_is_well(start: Any) -> None:
    trouble = {"notify": ["experimental/serverStatus", {"quiescent": True, "health": "error", "message": "no project"}]}
    async with start(
        {"initialized": [[trouble]], DIAGNOSTIC: [NOTHING]}, PULL, ready="server_status", settings=OFF
    ) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, answer.reason) == (False, "server_error")
        assert "no project" in (answer.message or "")


OFF = {"fake": {"checkOnSave": False}}


async def test_a_whole_project_is_gone_through_page_by_page_each_finding_once(start: Any, root: Path) -> None:
    for number in range(20):
        (root / f"f{number:02}.py").write_text("x = 1\n")
    (root / "not-served.txt").touch()
    two = [{"reply": {"kind": "full", "items": [finding("a"), finding("b")]}}]
    async with start({DIAGNOSTIC: [two]}, PULL) as fake:
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            answer = await fake.diagnostics(limit=9, cursor=cursor)
            assert len(answer.diagnostics) <= 9
            assert (answer.reason == "truncated") == (answer.cursor is not None)
            found += [(one.path, one.message) for one in answer.diagnostics]
            cursor, pages = answer.cursor, pages + 1
    assert len(found) == len(set(found)) == 2 * 22


async def test_a_directory_is_gone_through_alone(start: Any, root: Path) -> None:
    (root / "inner").mkdir()
    (root / "inner/x.py").write_text("x\n")
    async with start({DIAGNOSTIC: [[{"reply": {"kind": "full", "items": [finding("a")]}}]]}, PULL) as fake:
        answer = await fake.diagnostics(path="p/inner")
        assert ([one.path for one in answer.diagnostics], answer.checked_files) == (["p/inner/x.py"], 1)


async def test_a_file_that_cannot_be_checked_is_told_and_the_others_are_checked(start: Any, root: Path) -> None:
    with (root / "huge.py").open("wb") as file:
        file.truncate(10_000_000)
    async with start({DIAGNOSTIC: [NOTHING]}, PULL) as fake:
        answer = await fake.diagnostics()
        assert (answer.complete, answer.reason, answer.checked_files) == (False, "unsupported", 3)
        assert "p/huge.py" in (answer.message or "")


async def test_what_a_page_is_missing_is_reported_though_another_page_follows(start: Any, root: Path) -> None:
    with (root / "a_huge.py").open("wb") as file:
        file.truncate(10_000_000)
    async with start({DIAGNOSTIC: [[full("a", "b")]]}, PULL) as fake:
        answer = await fake.diagnostics(limit=1)
        assert (answer.complete, answer.reason, answer.cursor is None) == (False, "unsupported", False)
        assert "p/a_huge.py" in (answer.message or "")


async def test_another_project_is_refused(start: Any) -> None:
    async with start() as fake:
        with pytest.raises(ToolError, match="not among those"):
            await fake.diagnostics(projects=["other"])
        with pytest.raises(ToolError, match="no such file or directory"):
            await fake.diagnostics(path="p/none")


def full(*messages: str, **more: Any) -> dict[str, Any]:
    return {"reply": {"kind": "full", "items": [{**finding(one), **more} for one in messages]}}


async def test_several_servers_are_asked_and_each_finding_is_told_once_with_who_found_it(start: Any) -> None:
    lint = {DIAGNOSTIC: [[full("both say it", "unused", source="lint")]]}
    async with start({DIAGNOSTIC: [[full("both say it", "wrong type")]]}, PULL, second=(lint, PULL)) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert answer.complete
        assert [(one.message, one.source) for one in answer.diagnostics] == [
            ("both say it", "fake"),
            ("wrong type", "fake"),
            ("unused", "lint"),
        ]


async def test_a_dead_server_makes_the_answer_incomplete_and_the_others_findings_are_given(start: Any) -> None:
    lint = {DIAGNOSTIC: [[full("unused")]]}
    async with start({"initialize": [[{"exit": 1}]]}, second=(lint, PULL)) as fake:
        answer = await fake.diagnostics()
        assert (answer.complete, answer.reason, answer.checked_files) == (False, "server_crashed", 2)
        assert {(one.path, one.message) for one in answer.diagnostics} == {
            ("p/main.py", "unused"),
            ("p/shop.py", "unused"),
        }
        assert "fake" in (answer.message or "")


async def test_a_late_server_does_not_take_the_time_of_the_others(start: Any) -> None:
    begin = {"notify": ["$/progress", {"token": "t", "value": {"kind": "begin", "title": "Indexing"}}]}
    lint = {DIAGNOSTIC: [[full("unused")]]}
    async with start({"initialized": [[begin]]}, PULL, ready="progress", second=(lint, PULL)) as fake:
        answer = await fake.diagnostics(timeout_seconds=3.0)
        assert (answer.complete, answer.reason, answer.checked_files) == (False, "indexing", 2)
        assert len(answer.diagnostics) == 2


async def test_going_on_after_files_came_and_went_skips_none(start: Any, root: Path) -> None:
    for name in ("b.py", "c.py", "d.py"):
        (root / name).write_text("x = 1\n")
    async with start({DIAGNOSTIC: [[full("a")]]}, PULL) as fake:
        first = await fake.diagnostics(limit=2)
        assert [one.path for one in first.diagnostics] == ["p/b.py", "p/c.py"]
        (root / "a.py").write_text("x = 1\n")
        (root / "b.py").unlink()
        rest = await fake.diagnostics(cursor=first.cursor)
        assert [one.path for one in rest.diagnostics] == ["p/d.py", "p/main.py", "p/shop.py"]


async def test_a_file_whose_findings_changed_between_two_pages_is_told_anew(start: Any) -> None:
    on = {DIAGNOSTIC: [[full("a", "b", "c")], [full("b", "c", "d")]]}
    async with start(on, PULL) as fake:
        first = await fake.diagnostics(path="p/main.py", limit=2)
        assert [one.message for one in first.diagnostics] == ["a", "b"]
        rest = await fake.diagnostics(path="p/main.py", cursor=first.cursor)
        assert [one.message for one in rest.diagnostics] == ["b", "c", "d"]


@pytest.mark.parametrize("nonsense", [None, [], {"kind": "full"}, {"kind": "full", "items": 5}, {"items": [5]}])
async def test_nonsense_in_place_of_diagnostics_is_not_none(nonsense: Any, start: Any) -> None:
    async with start({DIAGNOSTIC: [[{"reply": nonsense}]]}, PULL) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, answer.reason, answer.diagnostics) == (False, "server_error", [])
        assert "malformed" in (answer.message or "")


async def test_more_than_is_kept_of_what_is_published_is_told(start: Any) -> None:
    many = [{**finding(str(number)), "range": RANGE} for number in range(2001)]
    params = {"uri": "@uri", "version": "@version", "diagnostics": many}
    async with start({OPENED: [[{"notify": ["textDocument/publishDiagnostics", params]}]]}) as fake:
        answer = await fake.diagnostics(path="p/main.py", limit=5000)
        assert (answer.complete, answer.reason) == (False, "truncated")


def test_a_walk_through_directories_without_files_ends_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codebuddy.agent.lsp.tree.MAX_ENTRIES", 20)
    for number in range(30):
        (root / "aa" / f"d{number:02}").mkdir(parents=True)
    (root / "zz").mkdir()
    (root / "zz/late.py").write_text("x = 1\n")
    cut = list[str]()
    walked = [path.name for path in Tree("p", root).files(lambda path: path.endswith(".py"), cut=cut.append)]
    assert "late.py" not in walked
    assert len(cut) == 1
    assert "only 20 files and directories" in cut[0]


async def test_more_files_than_are_looked_at_are_told(start: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codebuddy.agent.lsp.tree.MAX_ENTRIES", 3)
    for number in range(10):
        (root / f"f{number}.py").write_text("x = 1\n")
    async with start({DIAGNOSTIC: [[{"reply": {"kind": "full", "items": []}}]]}, PULL) as fake:
        answer = await fake.diagnostics(timeout_seconds=10.0)
        assert (answer.complete, answer.reason) == (False, "truncated")
        assert "only 3 files" in (answer.message or "")
        named = await fake.references(symbol="no_such")
        assert (named.complete, named.reason) == (False, "truncated")


PASSES_ON = {"executeCommandProvider": {"commands": ["typescript.tsserverRequest"]}}
COMMAND = "workspace/executeCommand"


def body(*items: Any) -> list[dict[str, Any]]:
    return [{"reply": {"success": True, "body": list(items)}}]


def of_tsserver(text: str, category: str) -> dict[str, Any]:
    return {
        "start": {"line": 2, "offset": 1},
        "end": {"line": 2, "offset": 10},
        "text": text,
        "code": 2304,
        "category": category,
    }


async def test_a_server_that_passes_requests_on_to_tsserver_is_not_waited_for_to_publish(start: Any) -> None:
    on = {
        OPENED: [[published()]],
        COMMAND: [body(), body(of_tsserver("no such name", "error")), body(of_tsserver("unused", "suggestion"))],
    }
    async with start(on, PASSES_ON) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert answer.complete
        found = {(one.message, one.severity, one.line, one.column, one.end_column) for one in answer.diagnostics}
        assert found == {("no such name", "error", 2, 1, 10), ("unused", "hint", 2, 1, 10)}
        asked = [(one["params"]["command"], one["params"]["arguments"][0]) for one in fake.sent(COMMAND)]
        assert asked == [
            ("typescript.tsserverRequest", f"{check}DiagnosticsSync")
            for check in ("syntactic", "semantic", "suggestion")
        ]


async def test_codes_that_are_to_be_ignored_are_also_in_what_it_passes_on(start: Any) -> None:
    on = {COMMAND: [body(), body(of_tsserver("no such name", "error")), body()]}
    async with start(on, PASSES_ON, settings={"diagnostics": {"ignoredCodes": [2304]}}) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, answer.diagnostics) == (True, [])


@pytest.mark.parametrize(
    "said", [None, {"body": "no"}, {"body": [1]}, {"body": [{"start": {}, "end": {}}]}, {"body": [{"text": "x"}]}]
)
async def test_what_such_a_server_says_without_sense_is_not_none(start: Any, said: Any) -> None:
    async with start({COMMAND: [[{"reply": said}]]}, PASSES_ON) as fake:
        answer = await fake.diagnostics(path="p/main.py")
        assert (answer.complete, answer.reason) == (False, "server_error")
