"""Which diagnostics an edit introduced and cured, and that an incomplete comparison is reported as such."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from codebuddy.hub.edits import editor as diagnostics
from codebuddy.hub.edits.editor import link_check
from codebuddy.hub.spokes import Links
from codebuddy.schemas.code import Diagnostic, DiagnosticsResult, Reason
from codebuddy.tool import ToolError
from codebuddy_testing.tool_client import ToolClient

pytestmark = pytest.mark.anyio


def found(path: str, line: int, text: str, **more: Any) -> Diagnostic:
    place = {"path": path, "line": line, "column": 1, "end_line": line, "end_column": 2, "line_text": text}
    return Diagnostic.model_validate({**place, "severity": "error", "message": f"bad {text}", **more})


def result(*items: Diagnostic, reason: Reason | None = None, message: str | None = None) -> DiagnosticsResult:
    return DiagnosticsResult(
        complete=reason is None, reason=reason, message=message, diagnostics=list(items), checked_files=1
    )


class Linter:
    """Finds every line with ``bad`` in it, in the files as they are now."""

    def __init__(self, fleet: Path) -> None:
        self.fleet = fleet

    async def __call__(self, project: str, paths: list[str] | None) -> DiagnosticsResult:
        files = sorted((self.fleet / project).rglob("*")) if paths is None else [self.fleet / path for path in paths]
        return result(
            *(
                found(str(file.relative_to(self.fleet)), number, line)
                for file in files
                if file.is_file()
                for number, line in enumerate(file.read_text().splitlines(), 1)
                if "bad" in line
            )
        )


def lines(items: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    return [(item["path"], item["line"], item["line_text"]) for item in items]


async def test_introduced_and_cured_diagnostics_are_reported_and_moved_lines_are_not(
    p: Path, client: ToolClient
) -> None:
    client.answer_check = Linter(p.parent)
    (p / "a").write_text("bad 1\nbad 2\nbad 2\nbad 3\n")
    answer = await client(
        "edit_file",
        path="p/a",
        edits=[{"old_text": "bad 1\nbad 2\n", "new_text": "new\nnew\nnew\nbad 4\n"}],
        diagnostics="files",
    )
    diagnostics = answer["diagnostics"]
    assert lines(diagnostics["introduced"]) == [("p/a", 4, "bad 4")]
    # Of two equal ones one is left; which of them it is nobody can tell.
    assert sorted(text for _, _, text in lines(diagnostics["cured"])) == ["bad 1", "bad 2"]
    assert diagnostics["complete"]
    assert client.checked == [("p", ["p/a"]), ("p", ["p/a"])]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("import prices\n", "import costs\n", ([], [])),
        ("import prices\n", "import os\nimport costs\n", ([], [])),
        ("import prices\nx\n", "x\nx\nimport costs\n", ([3], [1])),
        ("import prices\n", "import a\nimport b\n", ([2], [])),
        ("import prices\nimport costs\n", "import c\n", ([], [2])),
    ],
)
async def test_a_finding_on_a_line_that_is_rewritten_is_neither_introduced_nor_cured(
    old: str, new: str, expected: tuple[list[int], list[int]], p: Path, client: ToolClient
) -> None:
    async def check(_project: str, _paths: list[str] | None) -> DiagnosticsResult:
        text = (p / "a").read_text().splitlines()
        return result(
            *(
                found("p/a", number, line, message="Import block is un-sorted", code="I001")
                for number, line in enumerate(text, 1)
                if line.startswith("import") and line != "import os"
            )
        )

    client.answer_check = check
    (p / "a").write_text(f"{old}y\nz\n")
    answer = await client("edit_file", path="p/a", edits=[{"old_text": old, "new_text": new}], diagnostics="projects")
    introduced, cured = ([item["line"] for item in answer["diagnostics"][side]] for side in ("introduced", "cured"))
    assert (introduced, cured) == expected


async def test_diagnostics_are_requested_before_the_commit_and_after_the_notification(
    p: Path, client: ToolClient
) -> None:
    events: list[str] = []

    async def check(_project: str, _paths: list[str] | None) -> DiagnosticsResult:
        events.append(f"checked {(p / 'a').read_text()}")
        return result()

    async def tell(_project: str, _paths: list[str]) -> None:
        events.append(f"told {(p / 'a').read_text()}")

    client.answer_check, client.on_tell = check, tell
    (p / "a").write_text("old")
    await client("write_file", path="p/a", content="new", diagnostics="files")
    assert events == ["checked old", "told new", "checked new"]


class Importer:
    """Finds every import, and every use of a name in a call, that no file of the project defines any more."""

    def __init__(self, fleet: Path) -> None:
        self.fleet = fleet

    async def __call__(self, project: str, paths: list[str] | None) -> DiagnosticsResult:
        defined = "".join(file.read_text() for file in (self.fleet / project).rglob("*.py"))
        return result(
            *(
                found(path, 1, text)
                for path in paths or []
                for text in (self.fleet / path).read_text().splitlines()
                if "(" in text and not text.startswith("def") and f"def {text}" not in defined
            )
        )


async def test_what_an_edit_breaks_in_the_files_that_import_what_it_changes_is_introduced(
    p: Path, client: ToolClient
) -> None:
    client.answer_check = Importer(p.parent)
    (p / "shop").mkdir()
    (p / "shop/__init__.py").write_text("from .prices import price_of\n")
    (p / "shop/prices.py").write_text("def price_of()\n")
    (p / "direct.py").write_text("from shop import prices\nprice_of()\n")
    (p / "indirect.py").write_text("import shop\nprice_of()\n")
    (p / "other.py").write_text("nothing = 1\n")
    (p / "prices.md").write_text("prices()\n")
    edits = [{"old_text": "price_of", "new_text": "cost_of"}]
    answer = await client("edit_file", path="p/shop/prices.py", edits=edits, diagnostics="files")
    assert client.checked == 2 * [("p", ["p/shop/prices.py", "p/direct.py", "p/shop/__init__.py", "p/indirect.py"])]
    assert [path for path, _, _ in lines(answer["diagnostics"]["introduced"])] == ["p/direct.py", "p/indirect.py"]
    assert answer["diagnostics"]["complete"]
    await client("undo_edit", edit_id=answer["edit_id"], diagnostics="files")
    assert client.checked[-1] == client.checked[0]


@pytest.mark.parametrize(
    ("suffix", "texts", "names"),
    [
        (".ts", ("export const aaa = 1; const b = ccc;", "export const bbb = 1;\n  const ddd = 2;"), "aaa bbb"),
        (".ts", ("class X { one(a: A): B { if (x) {} two(); } }", "class X { }\nif (three(x)) {}"), "one"),
        (".py", ("AAA: int = 1\ndef one(self): two()\n", "def one(self): ten()\n    bbb = 1\n"), "AAA"),
        (".rs", ("pub fn one<T>() {}\npub struct Two;", "pub trait Three {}"), "one Two Three"),
        (".go", ("func (b *Box) Open() {}\ntype Lid int", "func Shut() {}"), "Open Lid Shut"),
        (".cpp", ("int Box::open(int x) const {\n}\n#define MAX 1", "int Box::shut() {\n}"), "open MAX shut"),
    ],
)
async def test_the_names_whose_definitions_come_or_go_are_looked_for(
    p: Path, client: ToolClient, suffix: str, texts: tuple[str, str], names: str
) -> None:
    (p / f"edited{suffix}").write_text(texts[0])
    for name in ["ccc", "ddd", "two", "ten", "bbb", "three", *names.split(), "if", "int"]:
        (p / f"uses_{name}{suffix}").write_text(f"{name}\n")
    await client("write_file", path=f"p/edited{suffix}", content=texts[1], diagnostics="files")
    checked = {path.removeprefix("p/uses_").removesuffix(suffix) for path in client.checked[0][1] or []}
    assert checked == {"p/edited", *names.split()}


async def test_files_that_import_what_moves_are_checked_where_they_are_then(p: Path, client: ToolClient) -> None:
    (p / "d").mkdir()
    for name, text in {"d/a.ts": "x", "d/b.ts": "import './a'", "c.ts": "import './d/a'", "index.ts": "a"}.items():
        (p / name).write_text(text)
    changes = [{"path": "p/d/a.ts", "delete": True}, {"path": "p/c.ts", "move_to": "p/e.ts"}]
    await client("apply_workspace_edit", changes=changes, diagnostics="files")
    (_, before), (_, after) = client.checked
    assert sorted(before or []) == ["p/c.ts", "p/d/a.ts", "p/d/b.ts", "p/index.ts"]
    assert sorted(after or []) == ["p/d/b.ts", "p/e.ts", "p/index.ts"]


async def test_more_files_that_import_it_than_are_checked_are_told(p: Path, client: ToolClient) -> None:
    (p / "a.py").write_text("x = 1\n")
    for number in range(60):
        (p / f"b{number}.py").write_text("a = 1\n" if number < 20 else "import a\n")
    answer = await client("write_file", path="p/a.py", content="x = 2\n", diagnostics="files")
    assert [len(paths or []) for _, paths in client.checked] == [51, 51]
    importing = {f"p/b{number}.py" for number in range(20, 60)}
    assert importing < set(client.checked[0][1] or [])
    assert (answer["diagnostics"]["complete"], answer["diagnostics"]["reason"]) == (False, "truncated")
    assert "60 files of p may use what was edited; 50 were checked." in answer["diagnostics"]["message"]


async def test_only_existing_files_are_checked(p: Path, client: ToolClient) -> None:
    (p / "old").write_text("bad\n")
    (p / "gone").write_text("bad gone\n")
    client.answer_check = Linter(p.parent)
    changes = [
        {"path": "p/old", "move_to": "p/new"},
        {"path": "p/gone", "delete": True},
        {"path": "q/d/created", "content": "bad created\n"},
    ]
    answer = await client("apply_workspace_edit", changes=changes, diagnostics="files")
    assert sorted(client.checked) == [
        ("p", ["p/gone", "p/old"]),
        ("p", ["p/new"]),
        ("q", ["q/d/created"]),
    ]
    assert lines(answer["diagnostics"]["introduced"]) == [("q/d/created", 1, "bad created")]
    assert lines(answer["diagnostics"]["cured"]) == [("p/gone", 1, "bad gone")]


async def test_diagnostics_in_a_moved_directory_are_the_same_at_the_new_path(p: Path, client: ToolClient) -> None:
    (p / "d" / "e").mkdir(parents=True)
    (p / "d" / "e" / "a").write_text("bad\n")
    client.answer_check = Linter(p.parent)
    changes = [{"path": "p/d", "move_to": "p/other"}]
    answer = await client("apply_workspace_edit", changes=changes, diagnostics="projects")
    assert client.checked == [("p", None), ("p", None)]
    assert (answer["diagnostics"]["introduced"], answer["diagnostics"]["cured"]) == ([], [])


async def test_all_affected_projects_are_checked_also_for_undo(p: Path, client: ToolClient) -> None:
    client.answer_check = Linter(p.parent)
    changes = [{"path": "p/a", "content": "bad\n"}, {"path": "q/b", "content": "fine\n"}]
    answer = await client("apply_workspace_edit", changes=changes, diagnostics="projects")
    assert sorted(client.checked) == [("p", None), ("p", None), ("q", None), ("q", None)]
    assert lines(answer["diagnostics"]["introduced"]) == [("p/a", 1, "bad")]
    undone = await client("undo_edit", edit_id=answer["edit_id"], diagnostics="projects")
    assert lines(undone["diagnostics"]["cured"]) == [("p/a", 1, "bad")]


async def test_a_failed_check_makes_the_answer_incomplete_and_never_fails_the_edit(p: Path, client: ToolClient) -> None:
    async def check(project: str, _paths: list[str] | None) -> DiagnosticsResult:
        if project == "q":
            raise RuntimeError("something is wrong inside")
        return result(reason="indexing", message="The language server is loading.")

    client.answer_check = check
    changes = [{"path": "p/a", "content": "a"}, {"path": "q/b", "content": "b"}]
    answer = await client("apply_workspace_edit", changes=changes, diagnostics="projects")
    assert answer["edit_id"]
    assert not answer["diagnostics"]["complete"]
    assert answer["diagnostics"]["reason"] == "indexing"
    assert "Before the edit: The language server is loading." in answer["diagnostics"]["message"]
    assert "After the edit:" in answer["diagnostics"]["message"]
    assert (p / "a").read_text() == "a"


async def test_after_an_incomplete_first_check_the_answer_says_that_new_diagnostics_may_be_old(
    p: Path, client: ToolClient
) -> None:
    answers = iter([result(reason="timed_out", message="Too slow."), result(found("p/a", 1, "x"))])

    async def check(_project: str, _paths: list[str] | None) -> DiagnosticsResult:
        return next(answers)

    client.answer_check = check
    (p / "a").write_text("old")
    answer = await client("write_file", path="p/a", content="new", diagnostics="files")
    assert len(answer["diagnostics"]["introduced"]) == 1
    assert "may have been there before" in answer["diagnostics"]["message"]
    assert "After the edit" not in answer["diagnostics"]["message"]


async def test_a_limited_number_of_diagnostics_is_listed_and_the_rest_counted(p: Path, client: ToolClient) -> None:
    client.answer_check = Linter(p.parent)
    content = "".join(f"bad {number}\n" for number in range(300))
    answer = await client("write_file", path="p/a", content=content, diagnostics="files")
    assert len(answer["diagnostics"]["introduced"]) == 200
    assert (answer["diagnostics"]["complete"], answer["diagnostics"]["reason"]) == (False, "truncated")
    assert "300 introduced" in answer["diagnostics"]["message"]


async def test_previews_and_refused_edits_do_not_wait_for_diagnostics(p: Path, client: ToolClient) -> None:
    error = await client.refused("write_file", path="p/a", content="x", preview=True, diagnostics="files")
    assert error.code == "invalid_arguments"
    edits = [{"old_text": "a", "new_text": "b"}]
    assert (await client.refused("edit_file", path="p/a", edits=edits, diagnostics="files")).code == "not_found"
    assert client.checked == []
    (p / "a").write_text("x")
    answer = await client("write_file", path="p/a", content="x", diagnostics="files")
    assert answer["diagnostics"] == {"introduced": [], "cured": [], "complete": True}


# Asking the spokes


class Spokes(Links):
    """Links whose spokes give prepared answers, by path and cursor."""

    def __init__(self, answers: Mapping[str | None, Any]) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    async def call(self, project: str, tool: str, arguments: Any, answer: Any, **_: Any) -> Any:
        assert tool == "diagnostics"
        self.asked.append(arguments)
        await anyio.lowlevel.checkpoint()
        said = self.answers[arguments.get("cursor") or arguments.get("path")]
        if isinstance(said, ToolError):
            raise said
        return answer.model_validate(said)


def said(*items: Diagnostic, **more: Any) -> dict[str, Any]:
    return {"complete": True, "diagnostics": [item.model_dump() for item in items], "checked_files": 1, **more}


async def test_a_disconnected_spoke_is_the_reason_of_an_incomplete_answer() -> None:
    away = Spokes({"p/a": ToolError("spoke_offline", "The spoke of p is not connected.")})
    answer = await link_check(away)("p", ["p/a"])
    assert (answer.complete, answer.reason, answer.message) == (
        False,
        "spoke_offline",
        "The spoke of p is not connected.",
    )


async def test_answers_of_several_files_are_merged_with_the_most_useful_reason() -> None:
    unsupported = said(complete=False, reason="unsupported", message="No language server serves this file.")
    slow = ToolError("timed_out", "The spoke of p did not answer.")
    links = Spokes({"p/a": said(found("p/a", 1, "x")), "p/b.md": unsupported, "p/c": slow, "p/d": said()})
    answer = await link_check(links)("p", ["p/a", "p/b.md", "p/c", "p/d"])
    assert [item.path for item in answer.diagnostics] == ["p/a"]
    assert (answer.complete, answer.reason) == (False, "timed_out")
    assert (await link_check(links)("p", ["p/a", "p/b.md"])).reason == "unsupported"
    assert (await link_check(links)("p", ["p/a", "p/d"])).complete


async def test_a_whole_project_is_checked_page_by_page() -> None:
    first = said(found("p/a", 1, "x"), complete=False, reason="truncated", message="More.", cursor="1.0")
    links = Spokes({None: first, "1.0": said(found("p/b", 1, "y"))})
    answer = await link_check(links)("p", None)
    assert [item.path for item in answer.diagnostics] == ["p/a", "p/b"]
    assert (answer.complete, answer.reason, answer.message, answer.cursor) == (True, None, None, None)
    broken = Spokes({None: first, "1.0": said(complete=False, reason="indexing", message="Loading.", cursor="1.0")})
    assert (await link_check(broken)("p", None)).reason == "indexing"


async def test_a_spoke_that_always_has_another_page_is_asked_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnostics, "MAX_FOUND", 10)
    page = said(*(found("p/a", 1, "x") for _ in range(4)), complete=False, reason="truncated")
    links = Spokes({None: {**page, "cursor": "1"}, "1": {**page, "cursor": "2"}, "2": {**page, "cursor": "3"}})
    answer = await link_check(links)("p", None)
    assert (answer.complete, answer.reason) == (False, "truncated")
    assert len(links.asked) == 3
    monkeypatch.setattr(diagnostics, "CHECK_SECONDS", 0.0)
    assert not (await link_check(links)("p", None)).complete
    assert len(links.asked) == 4


async def test_an_incomplete_page_makes_the_whole_answer_incomplete() -> None:
    first = said(complete=False, reason="unsupported", message="p/huge cannot be checked. More.", cursor="1.0")
    links = Spokes({None: first, "1.0": said(found("p/b", 1, "y"))})
    answer = await link_check(links)("p", None)
    assert [item.path for item in answer.diagnostics] == ["p/b"]
    assert (answer.complete, answer.reason) == (False, "unsupported")
    assert "p/huge" in (answer.message or "")


class Endless(Spokes):
    """A spoke that always has another page."""

    def __init__(self, **page: Any) -> None:
        super().__init__({})
        self.page = page

    async def call(self, project: str, tool: str, arguments: Any, answer: Any, **_: Any) -> Any:
        self.asked.append(arguments)
        assert len(self.asked) <= 1000
        await anyio.lowlevel.checkpoint()
        cursor = f"{len(self.asked)}.0"
        return answer.model_validate(said(complete=False, reason="truncated", **{"cursor": cursor, **self.page}))


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        ({"checked_files": 0, "message": "x" * 100_000}, 1),
        ({"cursor": "same"}, 2),
        ({}, 200),
        ({"diagnostics": [found("p/a", 1, "x" * 1_000_000).model_dump()]}, 3),
    ],
)
async def test_paging_stops_at_an_empty_or_too_large_page(page: dict[str, Any], asked: int) -> None:
    links = Endless(**page)
    answer = await link_check(links)("p", None)
    assert (answer.complete, answer.reason, len(links.asked)) == (False, "truncated", asked)
    assert len(answer.message or "") <= 2000


async def test_of_very_many_files_some_are_checked_and_the_answer_says_so() -> None:
    paths = [f"p/f{number}" for number in range(120)]
    links = Spokes({path: said() for path in paths})
    answer = await link_check(links)("p", paths)
    assert len(links.asked) == 100
    assert (answer.complete, answer.reason) == (False, "truncated")
    assert "120 files" in (answer.message or "")


async def test_a_spoke_cannot_answer_with_paths_of_another_project() -> None:
    answer = await link_check(Spokes({"p/a": said(found("q/secret", 1, "x"))}))("p", ["p/a"])
    assert (answer.complete, answer.diagnostics) == (False, [])
