"""Code actions: all that the servers offer, with their own diagnostics; and one of them as changes, never half."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.code.actions import list_actions, plan_action
from codebuddy.agent.lsp.config import read_server_configs
from codebuddy.agent.lsp.servers import LanguageServers, Timeouts
from codebuddy.files.text import content_hash
from codebuddy.schemas.code import CodeActions, CodeActionsArguments, PlanActionArguments, PlannedAction
from codebuddy.tool import ToolError

pytestmark = pytest.mark.anyio

FAKE = Path(__file__).parents[1] / "fake_server.py"
ACTION, RESOLVE, EXECUTE = "textDocument/codeAction", "codeAction/resolve", "workspace/executeCommand"
PULL = "textDocument/diagnostic"
CAN: dict[str, Any] = {
    "codeActionProvider": True,
    "executeCommandProvider": {"commands": ["do.it"]},
    "diagnosticProvider": {"interFileDependencies": False, "workspaceDiagnostics": False},
}
RESOLVES = {**CAN, "codeActionProvider": {"resolveProvider": True}}
COMMAND = {"title": "It", "kind": "refactor", "command": {"title": "It", "command": "do.it", "arguments": [1]}}


async def offered(fake: Any, **given: Any) -> CodeActions:
    place = {} if {"symbol", "text"} & set(given) else {"line": 2, "column": 1}
    arguments = {"path": "p/main.py", "timeout_seconds": 10.0, **place, **given}
    return await list_actions(fake.servers, CodeActionsArguments(**arguments), fake.report)


async def plan(fake: Any, **given: Any) -> PlannedAction:
    """Plan the first action that is offered."""
    found = await offered(fake, **given)
    assert found.actions, found
    arguments = {"path": "p/main.py", "line": 2, "column": 1, "timeout_seconds": 10.0, **given}
    wanted = PlanActionArguments(**arguments, action=found.actions[0].id)
    return await plan_action(fake.servers, wanted, fake.report)


def fix(wire: Any, **more: Any) -> dict[str, Any]:
    return {"title": "Fix it", "kind": "quickfix", "edit": wire.renamed(), **more}


def asks_to_apply(edit: Any, ident: int = 900) -> dict[str, Any]:
    return {"ask": [ident, "workspace/applyEdit", {"edit": edit}]}


def spans(planned: PlannedAction) -> list[tuple[str, int]]:
    return [(change.path, edit.line) for change in planned.changes for edit in change.edits or []]


async def test_what_is_offered_is_told_with_all_that_is_needed_to_choose(start: Any, wire: Any) -> None:
    offers = [
        fix(wire, isPreferred=True, diagnostics=[{"message": "it is broken", "range": wire.span(1, 0, 9)}]),
        {"title": "Extract", "kind": "refactor.extract", "disabled": {"reason": "nothing is selected"}},
        {"title": "Run it", "command": "do.it"},
    ]
    async with start({ACTION: [[{"reply": offers}]]}, CAN) as fake:
        found = await offered(fake)
        again = await offered(fake)
    shown = [one.model_dump(exclude_none=True, exclude={"id"}) for one in found.actions]
    assert shown == [
        {"title": "Fix it", "kind": "quickfix", "server": "fake", "preferred": True, "fixes": ["it is broken"]},
        {"title": "Extract", "kind": "refactor.extract", "server": "fake", "disabled": "nothing is selected"},
        {"title": "Run it", "server": "fake"},
    ]
    assert found.complete
    assert [one.id for one in found.actions] == [one.id for one in again.actions]
    assert len({one.id for one in found.actions}) == 3


async def test_equal_actions_have_ids_of_their_own_and_another_text_makes_others(
    start: Any, wire: Any, root: Path
) -> None:
    async with start({ACTION: [[{"reply": [fix(wire), fix(wire)]}]]}, CAN) as fake:
        first = {one.id for one in (await offered(fake)).actions}
        (root / "main.py").write_text("from shop import open_shop\nopen_shop()\n\n")
        second = {one.id for one in (await offered(fake)).actions}
    assert len(first | second) == 4


async def test_the_server_gets_its_own_diagnostics_that_touch_the_place(start: Any, wire: Any) -> None:
    here, there = ({"message": name, "range": wire.span(line, 0, 9), "data": 7} for name, line in (("a", 1), ("b", 0)))
    on = {ACTION: [[{"reply": []}]], PULL: [[{"reply": {"kind": "full", "items": [here, there, {"bad": 1}]}}]]}
    async with start(on, CAN) as fake:
        await offered(fake, end_line=2, end_column=5, kinds=["quickfix"])
        params = fake.sent(ACTION)[0]["params"]
    assert params["context"] == {"diagnostics": [here], "only": ["quickfix"], "triggerKind": 1}
    assert params["range"] == wire.span(1, 0, 4)


async def test_a_server_that_offers_its_diagnostics_late_is_asked_for_them(start: Any, wire: Any) -> None:
    item = {"message": "a", "range": wire.span(1, 0, 9)}
    glance = {"uri": "@uri", "version": "@version", "diagnostics": []}
    registered = {"registrations": [{"id": "d", "method": PULL}]}
    on = {
        "textDocument/didOpen": [
            [
                {"notify": ["textDocument/publishDiagnostics", glance]},
                {"ask": [1, "client/registerCapability", registered]},
            ]
        ],
        PULL: [[{"reply": {"kind": "full", "items": [item]}}]],
        ACTION: [[{"reply": []}]],
    }
    async with start(on, {**CAN, "diagnosticProvider": None}) as fake:
        assert (await offered(fake)).complete
        assert fake.sent(ACTION)[0]["params"]["context"]["diagnostics"] == [item]


async def test_published_diagnostics_of_the_present_text_are_waited_for(start: Any, wire: Any) -> None:
    item = {"message": "a", "range": wire.span(1, 0, 9)}
    publish = {
        "notify": ["textDocument/publishDiagnostics", {"uri": "@uri", "version": "@version", "diagnostics": [item]}]
    }
    capabilities = {**CAN, "diagnosticProvider": None}
    on = {"textDocument/didOpen": [[publish]], ACTION: [[{"reply": []}]]}
    async with start(on, capabilities) as fake:
        assert (await offered(fake)).complete
        assert fake.sent(ACTION)[0]["params"]["context"]["diagnostics"] == [item]


async def test_what_is_published_in_parts_is_waited_for_until_it_is_all(start: Any, wire: Any, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    item = {"message": "a", "code": 1, "range": wire.span(1, 0, 9)}
    parts = [
        {"notify": ["textDocument/publishDiagnostics", {"uri": "@uri", "diagnostics": found}]} for found in ([], [item])
    ]
    ends = {"start": {"line": 2, "offset": 1}, "end": {"line": 2, "offset": 10}}
    bodies = [[], [{"text": "a", "code": 1, **ends}], []]
    on = {
        "textDocument/didOpen": [[parts[0]]],
        EXECUTE: [[{"reply": {"body": one}}] for one in bodies],
        ACTION: [[{"reply": []}]],
    }
    on[EXECUTE][2] += [{"wait": str(go_on)}, parts[1]]
    capabilities = {
        **CAN,
        "diagnosticProvider": None,
        "executeCommandProvider": {"commands": ["typescript.tsserverRequest"]},
    }
    async with start(on, capabilities) as fake:
        offering = asyncio.create_task(offered(fake))
        await fake.until(lambda: len(fake.sent(EXECUTE)) == 3)
        await asyncio.sleep(0.2)  # so that one who takes the first part for all has the time to go on with it
        go_on.touch()
        assert (await offering).complete
        assert fake.sent(ACTION)[0]["params"]["context"]["diagnostics"] == [item]


async def test_without_them_what_is_offered_may_not_be_all(start: Any, wire: Any) -> None:
    async with start({ACTION: [[{"reply": [fix(wire)]}]]}, {**CAN, "diagnosticProvider": None}) as fake:
        found = await offered(fake, timeout_seconds=0.5)
    assert (found.complete, found.reason, len(found.actions)) == (False, "timed_out", 1)


@pytest.mark.parametrize(
    ("given", "start_at", "end_at"),
    [({"text": "open_shop", "line": 1}, 17, 26), ({"line": 1, "column": 3}, 2, 2)],
)
async def test_a_word_is_a_range_and_a_place_is_empty(
    start: Any, given: Any, start_at: int, end_at: int, wire: Any
) -> None:
    async with start({ACTION: [[{"reply": []}]]}, CAN) as fake:
        await offered(fake, **given)
        assert fake.sent(ACTION)[0]["params"]["range"] == wire.span(0, start_at, end_at)


async def test_only_wanted_kinds_are_told_whatever_the_server_gives(start: Any) -> None:
    kinds = ("quickfix", "refactor.extract.function", "refactor.extractor", None)
    offers = [{"title": "x", **({"kind": kind} if kind else {})} for kind in kinds]
    async with start({ACTION: [[{"reply": offers}]]}, CAN) as fake:
        found = await offered(fake, kinds=["refactor.extract"])
    assert [one.kind for one in found.actions] == ["refactor.extract.function"]


async def test_what_could_only_open_a_page_is_not_offered(start: Any) -> None:
    kinds = ("source.doc", "source.assembly", "source.freesymbols", "gopls.doc.features", "source.organizeImports")
    async with start({ACTION: [[{"reply": [{"title": "x", "kind": kind} for kind in kinds]}]]}, CAN) as fake:
        found = await offered(fake)
    assert ([one.kind for one in found.actions], found.complete) == (["source.organizeImports"], True)


# One of them


async def test_an_action_with_its_edit_is_planned_for_the_bytes_on_the_disk(start: Any, wire: Any, root: Path) -> None:
    before = {name: (root / name).read_bytes() for name in ("main.py", "shop.py")}
    async with start({ACTION: [[{"reply": [fix(wire)]}]]}, CAN) as fake:
        planned = await plan(fake)
    assert (planned.complete, planned.title, planned.server, planned.notes) == (True, "Fix it", "fake", [])
    assert spans(planned) == [("p/main.py", 1), ("p/main.py", 2), ("p/shop.py", 1)]
    assert [change.expected_hash for change in planned.changes] == [content_hash(data) for data in before.values()]
    assert {name: (root / name).read_bytes() for name in before} == before


async def test_an_edit_that_is_missing_is_asked_for(start: Any, wire: Any) -> None:
    bare = {"title": "Fix it", "data": {"n": 1}}
    on = {ACTION: [[{"reply": [bare]}]], RESOLVE: [[{"reply": {**bare, "edit": wire.renamed()}}]]}
    async with start(on, RESOLVES) as fake:
        planned = await plan(fake)
        assert fake.sent(RESOLVE)[0]["params"] == bare
    assert len(planned.changes) == 2


@pytest.mark.parametrize("item", [COMMAND, {"title": "It", "command": "do.it", "arguments": [1]}])
async def test_what_a_command_would_apply_is_taken_down_and_not_made(
    start: Any, wire: Any, root: Path, item: Any
) -> None:
    on = {ACTION: [[{"reply": [item]}]], EXECUTE: [[asks_to_apply(wire.renamed()), {"reply": None}]]}
    before = (root / "main.py").read_bytes()
    for name in ("main.py", "shop.py"):  # of what was written just now it is not known which text the server read
        os.utime(root / name, (1, 1))
    async with start(on, CAN) as fake:
        planned = await plan(fake)
        # Once, though a file that it edits was written just before.
        assert [one["params"] for one in fake.sent(EXECUTE)] == [{"command": "do.it", "arguments": [1]}]
        await fake.until(lambda: any(one.get("id") == 900 for one in fake.sent()))
        (answer,) = [one for one in fake.sent() if one.get("id") == 900]
        assert answer["result"] == {"applied": True}
    assert len(planned.changes) == 2
    assert (root / "main.py").read_bytes() == before


async def test_outside_a_command_the_server_may_apply_nothing(start: Any, wire: Any) -> None:
    async with start({ACTION: [[asks_to_apply(wire.renamed()), {"reply": []}]]}, CAN) as fake:
        assert (await offered(fake)).actions == []
        await fake.until(lambda: any(one.get("id") == 900 for one in fake.sent()))
        (answer,) = [one for one in fake.sent() if one.get("id") == 900]
        assert answer["result"]["applied"] is False


async def test_several_edits_of_a_command_are_one_as_long_as_they_are_of_different_files(start: Any, wire: Any) -> None:
    first, second = ({"documentChanges": [one]} for one in wire.renamed()["documentChanges"])
    steps = [asks_to_apply(first), asks_to_apply(second, 901), {"reply": None}]
    async with start({ACTION: [[{"reply": [COMMAND]}]], EXECUTE: [steps]}, CAN) as fake:
        assert len((await plan(fake)).changes) == 2
    steps = [asks_to_apply(first), asks_to_apply(first, 901), {"reply": None}]
    async with start({ACTION: [[{"reply": [COMMAND]}]], EXECUTE: [steps]}, CAN) as fake:
        with pytest.raises(ToolError, match="several times") as error:
            await plan(fake)
        assert error.value.code == "bad_answer"


async def test_an_action_that_changes_nothing_has_no_changes(start: Any) -> None:
    on = {ACTION: [[{"reply": [COMMAND]}]], EXECUTE: [[{"reply": None}]]}
    async with start(on, CAN) as fake:
        planned = await plan(fake)
    assert (planned.complete, planned.changes) == (True, [])


async def test_a_command_next_to_an_edit_is_reported_and_not_run(start: Any, wire: Any) -> None:
    async with start({ACTION: [[{"reply": [{**COMMAND, "edit": wire.renamed()}]}]]}, CAN) as fake:
        planned = await plan(fake)
        assert fake.sent(EXECUTE) == []
    assert "do.it" in planned.notes[0]


async def test_a_page_that_is_opened_next_to_an_edit_is_reported(start: Any, wire: Any) -> None:
    steps = [
        {"ask": [900, "workspace/applyEdit", {"edit": wire.renamed()}]},
        {"ask": [901, "window/showDocument", {"uri": "http://x"}]},
    ]
    async with start({ACTION: [[{"reply": [COMMAND]}]], EXECUTE: [[*steps, {"reply": None}]]}, CAN) as fake:
        planned = await plan(fake)
    assert planned.changes
    assert planned.notes == ["The language server would also have opened http://x."]


@pytest.mark.parametrize(
    ("item", "steps", "code", "said"),
    [
        ({"title": "x", "disabled": {"reason": "not here"}}, [], "disabled_action", "not here"),
        ({"title": "x", "command": "editor.show"}, [], "needs_editor", "editor.show"),
        (COMMAND, [{"ask": [900, "window/showMessageRequest", {"message": "Which?"}]}], "needs_editor", "Which?"),
        (COMMAND, [{"ask": [900, "window/showDocument", {"uri": "http://x"}]}], "needs_editor", "'It' opens a page in"),
    ],
)
async def test_what_cannot_be_made_here_is_refused_with_the_reason(
    start: Any, item: Any, steps: list[Any], code: str, said: str
) -> None:
    on = {ACTION: [[{"reply": [item]}]], EXECUTE: [[*steps, {"reply": None}]]}
    async with start(on, CAN) as fake:
        with pytest.raises(ToolError, match=said) as error:
            await plan(fake)
    assert error.value.code == code


async def test_an_edit_that_leads_out_of_the_project_is_refused_as_a_whole(start: Any, wire: Any) -> None:
    edit = wire.renamed()
    edit["documentChanges"].append(wire.document("../other.py", None, wire.edit(0, 0, 1)))
    async with start({ACTION: [[{"reply": [fix(wire, edit=edit)]}]]}, CAN) as fake:
        with pytest.raises(ToolError, match="other") as error:
            await plan(fake)
    assert error.value.code == "outside_project"


async def test_an_edit_for_another_version_is_not_taken(start: Any, wire: Any) -> None:
    async with start({ACTION: [[{"reply": [fix(wire, edit=wire.renamed(99, 99))]}]]}, CAN) as fake:
        planned = await plan(fake, timeout_seconds=2.0)
    assert (planned.complete, planned.reason, planned.changes) == (False, "indexing", [])


async def test_text_for_a_file_that_is_not_there_makes_it(start: Any, wire: Any) -> None:
    edit = {"documentChanges": [wire.document("new.py", None, wire.edit(0, 0, 0, "x = 1\n"))]}
    async with start({ACTION: [[{"reply": [fix(wire, edit=edit)]}]]}, CAN) as fake:
        planned = await plan(fake)
    assert [(one.path, one.content, one.expected_hash) for one in planned.changes] == [
        ("p/new.py", "", "absent"),
        ("p/new.py", None, None),
    ]


async def test_a_diagnostic_that_comes_twice_is_passed_on_once(start: Any, wire: Any) -> None:
    item = {"message": "a", "range": wire.span(1, 0, 9)}
    on = {ACTION: [[{"reply": []}]], PULL: [[{"reply": {"kind": "full", "items": [item, dict(item)]}}]]}
    async with start(on, CAN) as fake:
        await offered(fake)
        assert fake.sent(ACTION)[0]["params"]["context"]["diagnostics"] == [item]


async def test_an_action_that_is_gone_is_said(start: Any, wire: Any) -> None:
    arguments = {"path": "p/main.py", "line": 2, "column": 1, "action": "0123"}
    async with start({ACTION: [[{"reply": [fix(wire)]}]]}, CAN) as fake:
        with pytest.raises(ToolError, match="list the actions again"):
            await plan_action(fake.servers, PlanActionArguments(**arguments), fake.report)


@pytest.mark.parametrize(
    ("on", "capabilities", "reason"),
    [
        ({ACTION: [[{"reply": "x"}]]}, CAN, "server_error"),
        ({ACTION: [[{"reply": [{"kind": "x"}]}]]}, CAN, "server_error"),
        ({ACTION: [[{"error": [-32603, "no"]}]]}, CAN, "server_error"),
        ({ACTION: [[{"exit": 1}]]}, CAN, "server_crashed"),
        ({ACTION: [[{"notify": ["$/x", {}]}]]}, CAN, "timed_out"),
        ({}, {"codeActionProvider": False}, "unsupported"),
    ],
)
async def test_no_answer_is_not_nothing(start: Any, on: Any, capabilities: Any, reason: str) -> None:
    async with start(on, capabilities) as fake:
        await fake.until(lambda: fake.servers.states()[0]["state"] == "ready")
        found = await offered(fake, timeout_seconds=0.5 if reason == "timed_out" else 10.0)
    assert (found.complete, found.reason, found.actions) == (False, reason, [])


async def test_all_servers_that_are_declared_for_actions_are_asked(root: Path, tmp_path: Path, wire: Any) -> None:
    configs = []
    for name, features, reply in (
        ("one", ["actions"], [{"reply": [{"title": "of one"}]}]),
        ("two", ["actions", "format"], [{"reply": [{"title": "of two"}]}]),
        ("dead", ["actions"], [{"exit": 1}]),
        ("other", ["navigation"], [{"reply": [{"title": "of other"}]}]),
    ):
        script = tmp_path / f"{name}.json"
        script.write_text(json.dumps({"on": {ACTION: [reply]}, "capabilities": CAN}))
        command = [sys.executable, str(FAKE), str(script), str(tmp_path / f"{name}.log")]
        configs.append({"name": name, "command": command, "languages": {"*.py": "python"}, "features": features})
    servers = LanguageServers("p", root, read_server_configs(configs), Timeouts(first_delay=0.01, probe=0.5, grace=0.2))
    running = asyncio.create_task(servers.run())

    async def report(_: str) -> None: ...

    try:
        arguments = {"path": "p/main.py", "line": 2, "column": 1, "timeout_seconds": 10.0}
        found = await list_actions(servers, CodeActionsArguments(**arguments), report)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [(one.server, one.title) for one in found.actions] == [("one", "of one"), ("two", "of two")]
    assert (found.complete, found.reason) == (False, "server_crashed")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"line": 1},
        {"line": 1, "column": 1, "end_line": 2},
        {"symbol": "x", "end_line": 2, "end_column": 1},
        {"line": 2, "column": 1, "end_line": 1, "end_column": 1},
    ],
)
async def test_a_place_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"give line and column|go with|ends before"):
        CodeActionsArguments(path="p/main.py", **given)
