"""After a mass change each server learns of the files as its setting ``refresh`` says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp import documents
from codebuddy.agent.lsp.config import read_server_configs

pytestmark = pytest.mark.anyio
DEFINITION = "textDocument/definition"
WATCHED = "workspace/didChangeWatchedFiles"


def history(fake: Any) -> list[tuple[str, str, str | None]]:
    """Return method, file and text of the messages about documents and file changes, in order."""
    found = []
    for line in fake._lines():
        message = json.loads(line)["message"]
        params = message.get("params") or {}
        document = params.get("textDocument") or {}
        if document:
            name = document["uri"].rpartition("/")[2]
            found.append((message["method"].rpartition("/")[2], name, document.get("text")))
        found += [("told", change["uri"].rpartition("/")[2], None) for change in params.get("changes", [])]
    return found


def write(root: Path, count: int, text: str) -> None:
    for number in range(count):
        (root / f"f{number}.py").write_text(text)


async def test_a_few_changed_files_stay_open(start: Any, root: Path) -> None:
    async with start(refresh="notify") as fake:
        await fake.definition()
        write(root, 3, "x = 1\n")
        (root / "not_served.txt").touch()
        await fake.definition()
        opened = [name for method, name, _ in history(fake) if method == "didOpen"]
        assert sorted(opened) == ["f0.py", "f1.py", "f2.py", "main.py"]
        assert not [name for method, name, _ in history(fake) if method == "didClose"]


async def test_notify_opens_no_files(start: Any, root: Path) -> None:
    async with start(refresh="notify") as fake:
        await fake.definition()
        write(root, 300, "x = 1\n")
        await fake.definition()
        seen = history(fake)
        assert len([name for method, name, _ in seen if method == "told"]) == 300
        assert [name for method, name, _ in seen if method == "didOpen"] == ["main.py"]


async def test_show_sends_every_text_before_the_request(start: Any, root: Path) -> None:
    async with start(refresh="show") as fake:
        await fake.definition()
        for text in ("x = 1\n", "y = 2\n"):
            before = len(history(fake))
            write(root, 300, text)
            await fake.definition()
            seen = history(fake)[before:]
            assert seen[-1][0] == "definition"
            shown = [name for method, name, content in seen if method == "didOpen" and content == text]
            assert sorted(shown) == sorted(f"f{number}.py" for number in range(300))
            assert sorted(name for method, name, _ in seen if method == "didClose") == sorted(shown)


async def test_show_sends_an_empty_text_for_a_deleted_file(start: Any, root: Path) -> None:
    write(root, 40, "x = 1\n")
    async with start(refresh="show") as fake:
        await fake.definition()
        for number in range(40):
            (root / f"f{number}.py").unlink()
        await fake.definition()
        shown = [(name, text) for method, name, text in history(fake) if method == "didOpen" and name != "main.py"]
        assert sorted(shown) == sorted((f"f{number}.py", "") for number in range(40))


async def test_versions_grow_also_of_briefly_opened_documents(start: Any, root: Path) -> None:
    async with start(refresh="show") as fake:
        for text in ("x = 1\n", "y = 2\n"):
            await fake.definition()
            write(root, 40, text)
        await fake.definition()
        versions = [one["params"]["textDocument"]["version"] for one in fake.sent("textDocument/didOpen")]
        assert versions == sorted(set(versions))


@pytest.mark.parametrize("what", ["many", "gone"])
async def test_restart_replaces_the_process_before_the_request(start: Any, root: Path, what: str) -> None:
    async with start(refresh="restart") as fake:
        await fake.definition()
        (first,) = fake.processes()
        if what == "many":
            write(root, 40, "x = 1\n")
        else:
            (root / "shop.py").unlink()
        answer = await fake.definition()
        assert (answer.complete, answer.reason) == (True, None)
        pids = [json.loads(line)["pid"] for line in fake._lines() if DEFINITION in line]
        assert len(pids) == 2
        assert pids[0] == first != pids[1]


async def test_restart_starts_no_process_before_a_request(start: Any, root: Path) -> None:
    async with start(refresh="restart") as fake:
        await fake.definition()
        for _ in range(20):
            (root / "built.py").touch()
            await fake.servers.flush_changes()
            (root / "built.py").unlink()
            await fake.servers.flush_changes()
            await fake.until(lambda: fake.server.connection is not None)
        assert len(fake.processes()) == 1
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 2


async def test_restart_keeps_the_process_after_a_few_changes(start: Any, root: Path) -> None:
    async with start(refresh="restart") as fake:
        await fake.definition()
        write(root, 3, "x = 1\n")
        (root / "not_served.txt").touch()
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 1


@pytest.mark.parametrize("what", ["many", "new directory"])
async def test_reload_replaces_the_process_after_many_changes_or_a_new_directory(
    start: Any, root: Path, what: str
) -> None:
    async with start(refresh="reload") as fake:
        await fake.definition()
        if what == "many":
            write(root, 40, "x = 1\n")
        else:
            (root / "more").mkdir()
            (root / "more/new.py").write_text("x = 1\n")
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 2


async def test_reload_keeps_the_process_after_a_few_changes_beside_other_files(start: Any, root: Path) -> None:
    async with start(refresh="reload") as fake:
        await fake.definition()
        write(root, 3, "x = 1\n")
        (root / "shop.py").unlink()
        (root / "more").mkdir()
        (root / "more/not_served.txt").touch()
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 1


async def test_a_server_that_does_not_read_delays_nobody_beyond_the_timeout(start: Any, root: Path) -> None:
    async with start({DEFINITION: [[{"reply": None}, {"deaf": True}]]}, refresh="show") as fake:
        await fake.definition()
        write(root, 100, "x = 1\n" * 10_000)
        # Otherwise it would read, and answer, after the 1000 s of its sleep.
        assert not (await fake.definition(timeout_seconds=1.0)).complete


async def test_texts_that_were_not_sent_in_time_are_sent_before_the_next_request(start: Any, root: Path) -> None:
    async with start(refresh="show") as fake:
        await fake.definition()
        write(root, 100, "x = 1\n" * 10_000)
        await fake.definition(timeout_seconds=0.001)
        await fake.definition(timeout_seconds=60.0)
        seen = history(fake)
        assert len({name for method, name, _ in seen if method == "didOpen"}) == 101
        assert seen[-1][0] == "definition"


def found(count: int) -> dict[str, Any]:
    return {"notify": ["window/logMessage", {"type": 3, "message": f"Found {count} files"}]}


SEARCHES = {"refresh": "search", "ready": "log", "ready_log": "^Found"}
SEARCH = "$/codebuddy/search"
SETTINGS = "workspace/didChangeConfiguration"
HOVER = "textDocument/hover"
SYMBOLS = "textDocument/documentSymbol"
AT = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 4}}
SYMBOL = {"name": "from", "kind": 13, "range": AT, "selectionRange": AT}
ANSWER = {"reply": None}


async def test_search_finds_new_files_before_the_request(start: Any, root: Path) -> None:
    async with start({SETTINGS: [[found(1)], [found(300)]]}, **SEARCHES) as fake:
        await fake.definition()
        write(root, 300, "x = 1\n")
        answer = await fake.definition()
        assert (answer.complete, answer.message) == (True, None)
        methods = [json.loads(line)["message"].get("method") for line in fake._lines()]
        asked = methods.index(SEARCH)
        assert methods[asked + 1 : asked + 3] == [SETTINGS, DEFINITION]
        assert sum(len(message["params"]["changes"]) for message in fake.sent(WATCHED)) == 300


@pytest.mark.parametrize("what", ["new", "gone"])
async def test_a_few_new_or_removed_files_make_it_resolve_imports_anew_without_a_wait(
    start: Any, root: Path, what: str
) -> None:
    write(root, 3 if what == "gone" else 0, "x = 1\n")
    async with start({"initialized": [[found(1)]]}, **SEARCHES) as fake:
        await fake.definition()
        if what == "new":
            write(root, 3, "x = 1\n")
        else:
            (root / "f1.py").unlink()
        assert (await fake.definition()).complete
        methods = [json.loads(line)["message"].get("method") for line in fake._lines()]
        assert [method for method in methods if method != "$/codebuddy/probe"][-2:] == [SETTINGS, DEFINITION]
        assert not fake.sent(SEARCH)
        assert (await fake.definition()).complete
        assert len(fake.sent(SETTINGS)) == 2


@pytest.mark.parametrize("too_soon", [{WATCHED: [[found(9)], []]}, {SEARCH: [[found(9), ANSWER]]}])
async def test_a_search_that_may_have_begun_too_early_does_not_count(
    start: Any, root: Path, monkeypatch: pytest.MonkeyPatch, too_soon: dict[str, Any]
) -> None:
    monkeypatch.setattr(documents, "_LONGEST_SEARCH", 0.2)
    async with start({"initialized": [[found(1)]], **too_soon}, **SEARCHES) as fake:
        await fake.definition()
        write(root, 40, "x = 1\n")
        assert not (await fake.definition()).complete
        assert len(fake.sent(SEARCH)) == 1


MISSING = "fake has not logged yet that it searched for new files: results there may be missing."


async def test_answers_are_incomplete_until_one_search_is_logged(
    start: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_LONGEST_SEARCH", 0.2)
    late = {HOVER: [[found(41), {"reply": None}]]}
    async with start({"initialized": [[found(1)]], **late}, **SEARCHES) as fake:
        await fake.definition()
        write(root, 40, "x = 1\n")
        several = [asyncio.create_task(fake.definition()) for _ in range(3)]
        answers = [await one for one in several] + [await fake.definition()]
        assert [(one.complete, one.message) for one in answers] == 4 * [(False, MISSING)]
        await fake.hover()
        assert (await fake.definition()).complete
        assert len(fake.sent(SEARCH)) == 1


async def test_a_file_that_is_created_again_during_a_search_needs_another(
    start: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_LONGEST_SEARCH", 0.2)
    async with start({"initialized": [[found(1)]]}, **SEARCHES) as fake:
        await fake.definition()
        write(root, 40, "x = 1\n")
        first = asyncio.create_task(fake.definition())
        await fake.until(lambda: bool(fake.sent(SEARCH)))
        for text in (None, "x = 1\n"):
            for number in range(40):
                (root / f"f{number}.py").write_text(text) if text else (root / f"f{number}.py").unlink()
            await fake.servers.flush_changes()
        await first
        await fake.definition()
        assert len(fake.sent(SEARCH)) == 2


async def test_a_local_request_does_not_wait_for_a_search(start: Any, root: Path) -> None:
    async with start({"initialized": [[found(1)]], SYMBOLS: [[{"reply": [SYMBOL]}]]}, **SEARCHES) as fake:
        await fake.definition()
        write(root, 40, "x = 1\n")
        assert (await fake.symbols(path="p/main.py")).complete
        assert len(fake.sent(SEARCH)) == 1


async def test_a_server_that_ends_during_a_search_is_asked_again_later(start: Any, root: Path) -> None:
    async with start({"initialized": [[found(1)]], SEARCH: [[{"exit": 1}]]}, **SEARCHES) as fake:
        await fake.definition()
        write(root, 40, "x = 1\n")
        assert (await fake.definition()).reason == "server_crashed"
        assert (await fake.definition()).complete


@pytest.mark.parametrize("what", ["few", "changed", "gone again"])
async def test_no_search_for_files_that_are_open_or_known_or_gone(start: Any, root: Path, what: str) -> None:
    write(root, 40 if what == "changed" else 0, "x = 1\n")
    async with start({"initialized": [[found(1)]]}, **SEARCHES) as fake:
        await fake.definition()
        write(root, 3 if what == "few" else 40, "y = 2\n")
        if what == "gone again":
            await fake.servers.flush_changes()
            for number in range(40):
                (root / f"f{number}.py").unlink()
        assert (await fake.definition()).complete
        assert not fake.sent(SEARCH)


async def test_search_finds_a_new_notebook_and_a_new_process_reads_one_that_changed(start: Any, root: Path) -> None:
    async with start({"initialized": [[found(1)]], SETTINGS: [[], [found(2)]]}, **SEARCHES) as fake:
        await fake.definition()
        (root / "new.ipynb").write_text("{}")
        assert (await fake.definition()).complete
        assert (len(fake.sent(SEARCH)), len(fake.processes())) == (1, 1)
        (root / "new.ipynb").write_text("{} ")
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 2


async def test_a_notebook_is_nothing_to_other_servers(start: Any, root: Path) -> None:
    async with start(refresh="notify") as fake:
        for text in ("{}", "{} "):
            await fake.definition()
            (root / "new.ipynb").write_text(text)
        assert (await fake.definition()).complete
        assert len(fake.processes()) == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"refresh": "pray"}, "refresh must be one of notify, show, search, reload, restart"),
        ({"refresh": "search"}, "refresh: search needs ready: log"),
    ],
)
def test_an_invalid_refresh_is_rejected(given: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_server_configs([{"name": "x", "command": ["x"], "languages": {"*": "x"}, **given}])
