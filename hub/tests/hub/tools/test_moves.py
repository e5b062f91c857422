"""move_path: imports and the move are one edit, and whatever a spoke says, the move itself goes ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.text import content_hash
from codebuddy.hub.spokes import Links
from codebuddy.hub.tools.moves import move_tools
from codebuddy.schemas.code import PlannedMove
from codebuddy.tool import ToolError
from codebuddy_testing.tool_client import ToolClient, snapshot

pytestmark = pytest.mark.anyio

USER = "import { f } from './a';\nf();\n"


class Spoke(Links):
    """A link to spokes that answer as they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: dict[str, Any] | ToolError = {"complete": True, "changes": []}
        self.asked: list[dict[str, Any]] = []

    async def call(self, project: str, tool: str, arguments: dict[str, Any], answer: Any, **_: Any) -> Any:
        assert (tool, answer) == ("plan_move", PlannedMove)
        self.asked.append(arguments)
        if isinstance(self.answer, ToolError):
            raise self.answer
        return answer.model_validate(self.answer)


@pytest.fixture
def spoke() -> Spoke:
    return Spoke()


@pytest.fixture
def client(tmp_path: Path, spoke: Spoke) -> Iterator[ToolClient]:
    for name in "pq":
        (tmp_path / "fleet" / name).mkdir(parents=True)
    client = ToolClient(tmp_path / "fleet", tmp_path / "journal", ["p", "q"])
    client.add(move_tools(spoke, client.editor))
    yield client
    client.close()


@pytest.fixture
def p(tmp_path: Path) -> Path:
    root = tmp_path / "fleet" / "p"
    root.mkdir(parents=True, exist_ok=True)
    (root / "a.ts").write_text("export const f = () => 1;\n")
    (root / "user.ts").write_text(USER)
    return root


def edit(path: str, line: int, column: int, end_column: int, text: str, **more: Any) -> dict[str, Any]:
    one = {"line": line, "column": column, "end_line": line, "end_column": end_column, "new_text": text}
    return {"path": path, "edits": [one], **more}


def mended(path: str = "p/user.ts", **more: Any) -> dict[str, Any]:
    """Return a spoke's answer that updates the import in a file."""
    return {"complete": True, "changes": [edit(path, 1, 19, 24, "'./lib/b'", **more)], "covered": ["*.ts"]}


async def test_imports_and_the_move_are_one_edit_with_one_undo(client: ToolClient, spoke: Spoke, p: Path) -> None:
    spoke.answer = mended(expected_hash=content_hash(USER.encode()))
    before = snapshot(p)
    preview = await client("move_path", source="p/a.ts", target="p/lib/b.ts", preview=True)
    assert snapshot(p) == before
    made = await client("move_path", source="p/a.ts", target="p/lib/b.ts")
    assert spoke.asked == [{"source": "p/a.ts", "target": "p/lib/b.ts", "timeout_seconds": 60.0}] * 2
    assert (p / "user.ts").read_text() == USER.replace("./a", "./lib/b")
    assert (p / "lib" / "b.ts").exists()
    assert [(file["action"], file["path"]) for file in made["files"]] == [
        ("moved", "p/lib/b.ts"),
        ("changed", "p/user.ts"),
    ]
    assert [file.get("diff") for file in preview["files"]] == [file.get("diff") for file in made["files"]]
    assert "imports" not in made
    assert "lines_to_check" not in made
    await client("undo_edit", edit_id=made["edit_id"])
    assert snapshot(p) == before


async def test_imports_are_left_alone_if_the_caller_says_so(client: ToolClient, spoke: Spoke, p: Path) -> None:
    spoke.answer = mended()
    made = await client("move_path", source="p/a.ts", target="p/lib/b.ts", update_imports=False)
    assert (spoke.asked, (p / "user.ts").read_text()) == ([], USER)
    assert {"imports", "lines_to_check"} & set(made) == set()


async def test_a_move_that_is_refused_asks_no_language_server(client: ToolClient, spoke: Spoke, p: Path) -> None:
    for arguments in ({"source": "p/none", "target": "p/x"}, {"source": "p/a.ts", "target": "p/user.ts"}):
        await client.refused("move_path", **arguments)
    await client.refused("move_path", source="p/a.ts", target="p/x.ts", expected_hash=content_hash(b"other"))
    assert spoke.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        ToolError("spoke_offline", "The spoke of p is not connected."),
        ToolError("timed_out", "The spoke of p did not answer."),
        {"complete": False, "reason": "indexing", "message": "It is loading.", "changes": []},
        {"complete": True, "changes": [edit("q/user.ts", 1, 1, 1, "x")]},
        {"complete": True, "changes": [edit("p/../q/user.ts", 1, 1, 1, "x")]},
    ],
)
async def test_a_move_goes_ahead_if_nobody_can_say_and_names_what_lines_to_check_it(
    answer: Any, client: ToolClient, spoke: Spoke, p: Path
) -> None:
    (p / "a.ts").write_text("import { g } from '../g';\nexport const a = 1;\n")
    (p / "notes.md").write_text("a word, and a list of items\n")
    spoke.answer = answer
    made = await client("move_path", source="p/a.ts", target="p/lib/b.ts")
    assert made["imports"].startswith("Imports were not updated: ")
    assert [(one["path"], one["line"]) for one in made["lines_to_check"]] == [("p/user.ts", 1), ("p/lib/b.ts", 1)]
    assert (p / "lib" / "b.ts").exists()
    assert (p / "user.ts").read_text() == USER


async def test_what_a_stale_plan_would_overwrite_is_a_conflict_and_nothing_moves(
    client: ToolClient, spoke: Spoke, p: Path
) -> None:
    spoke.answer = mended(expected_hash=content_hash(b"another text"))
    before = snapshot(p)
    refused = await client.refused("move_path", source="p/a.ts", target="p/lib/b.ts")
    assert (refused.code, refused.path) == ("conflict", "p/user.ts")
    assert snapshot(p) == before


async def test_lines_of_files_that_no_server_covers_are_named(client: ToolClient, spoke: Spoke, p: Path) -> None:
    (p / "App.vue").write_text("<script>\nimport { f } from './a';\n</script>\n")
    (p / "more.ts").write_text("import { f } from 'a';\nexport const a = './b';\n")  # the server knows better
    spoke.answer = mended()
    made = await client("move_path", source="p/a.ts", target="p/lib/b.ts")
    assert [(one["path"], one["line"], one["column"]) for one in made["lines_to_check"]] == [("p/App.vue", 2, 22)]
    assert "imports" not in made


@pytest.mark.parametrize(
    "case",
    [
        ("tests/a.test.ts", "jest.mock('../src/a');", True),
        ("tests/a.test.ts", "vi.mock(`../src/a.js`);", True),
        ("tests/a.test.ts", "jest.mock('../other/a');", False),
        ("src/b.ts", "load('./a', 1);", True),
        ("b.ts", "load('./a');", False),
    ],
)
async def test_a_string_that_leads_to_what_moves_is_named_even_where_a_server_mends_imports(
    case: tuple[str, str, bool], client: ToolClient, spoke: Spoke, p: Path
) -> None:
    file, text, named = case
    for path, content in {"src/a.ts": "export {};\n", file: f"{text}\n"}.items():
        (p / path).parent.mkdir(exist_ok=True)
        (p / path).write_text(content)
    spoke.answer = {"complete": True, "changes": [], "covered": ["*.ts"]}
    for source, target in (("p/src/a.ts", "p/src/b/c.ts"), ("p/src", "p/lib")):
        made = await client("move_path", source=source, target=target)
        found = [one["path"] for one in made.get("lines_to_check", [])]
        # Within a directory that moves, relative paths stay right.
        assert found == ([f"p/{file}"] if named and not f"p/{file}".startswith(f"{source}/") else [])
        await client("undo_edit", edit_id=made["edit_id"])


async def test_a_relative_string_of_a_file_that_moves_is_named(client: ToolClient, spoke: Spoke, p: Path) -> None:
    (p / "a.ts").write_text("import { g } from './g';\njest.mock('./g');\n")
    spoke.answer = {**mended(), "changes": [edit("p/a.ts", 1, 19, 24, "'../g'"), *mended()["changes"]]}
    made = await client("move_path", source="p/a.ts", target="p/lib/b.ts")
    assert [(one["path"], one["line"]) for one in made["lines_to_check"]] == [("p/lib/b.ts", 2)]


async def test_a_line_that_was_mended_is_not_named(client: ToolClient, spoke: Spoke, p: Path) -> None:
    (p / "more.ts").write_text("import { f } from './a';\n")
    spoke.answer = {**mended(), "covered": []}
    made = await client("move_path", source="p/a.ts", target="p/b.ts")
    assert [one["path"] for one in made["lines_to_check"]] == ["p/more.ts"]


@pytest.mark.parametrize(
    ("line", "imports"),
    [
        ("from pkg.util import x", True),
        ("    import util as u", True),
        ("pub(crate) use crate::util::x;", True),
        ("mod util;", True),
        ('#include "util.h"', True),
        ('const u = require("./util")', True),
        ("export * from './util'", True),
        ('\t"example.com/x/util"', True),
        ('\tu "example.com/x/util"', True),
        ("} from './util';", True),
        ("util.helper()", False),
        ("# an important util", False),
        ("users = util", False),
        ('print("a util")', False),
    ],
)
async def test_a_line_is_named_only_if_it_looks_like_an_import(
    line: str, imports: bool, client: ToolClient, spoke: Spoke, p: Path
) -> None:
    (p / "util.x").write_text("x\n")
    (p / "line.x").write_text(f"{line}\n")
    spoke.answer = ToolError("spoke_offline", "away")
    made = await client("move_path", source="p/util.x", target="p/tool.x")
    assert [one["path"] for one in made.get("lines_to_check", [])] == (["p/line.x"] if imports else [])


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("from pkg.util import x", True),
        ("from src.pkg.util.deep import x", True),
        ("from pkg import other, util as u  # both", True),
        ("from pkg import (util, other)", True),
        ("from . import util", True),
        ("from .util import x", True),
        ("from ..pkg import util", True),
        ("import os, pkg.util as u", True),
        ("import util", True),
        ("    util,", True),
        ("from other.util import x", False),
        ("from .. import util", False),
        ("from .deep import util", False),
        ("import other.util", False),
        ("from json import util", False),
        ("util.run()", False),
        ("x = util, 1", False),
    ],
)
async def test_a_line_of_python_is_named_if_its_names_lead_to_the_module(
    line: str, named: bool, client: ToolClient, p: Path
) -> None:
    for path, text in {"src/pkg/util.py": "x = 1\n", "src/pkg/user.py": f"{line}\n"}.items():
        (p / path).parent.mkdir(parents=True, exist_ok=True)
        (p / path).write_text(text)
    made = await client("move_path", source="p/src/pkg/util.py", target="p/src/tools.py")
    assert [one["path"] for one in made.get("lines_to_check", [])] == (["p/src/pkg/user.py"] if named else [])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("import shop.compat\nshop.compat.price()\nother.compat.price()\n", [1, 2]),
        ("import shop.compat\nmock.patch('shop.compat.price')\n", [1, 2]),
        ("from src.shop.compat import price\nx = 'compat.price'  # compat.price\n", [1]),
        ("from shop import compat\ncompat.price()\nreload(compat)\nx.compat.y()\n# compat.\ncompat = 1\n", [1, 2, 3]),
        ("from shop import (\n    compat,\n)\ncompat.price()\n", [2, 4]),
        ("from shop import compat as c\ncompat.price()\n", [1]),
        ("import shop.compat as c\ncompat.price()\n", [1]),
    ],
)
async def test_uses_of_a_module_are_named_where_no_server_answers_fully(
    text: str, lines: list[int], client: ToolClient, spoke: Spoke, p: Path
) -> None:
    (p / "src" / "shop").mkdir(parents=True)
    (p / "src" / "shop" / "compat.py").write_text("def price(): ...\n")
    (p / "user.py").write_text(text)
    spoke.answer = {"complete": True, "changes": [], "covered": []}
    made = await client("move_path", source="p/src/shop/compat.py", target="p/src/shop/prices.py")
    assert [one["line"] for one in made["lines_to_check"]] == lines
    await client("undo_edit", edit_id=made["edit_id"])
    column, end = (8, 19) if text.startswith("import shop.compat\n") else (1, 1)
    spoke.answer |= {"changes": [edit("p/user.py", 1, column, end, "shop.prices" if end > 1 else "")]}
    made = await client("move_path", source="p/src/shop/compat.py", target="p/src/shop/prices.py")
    assert [one["line"] for one in made["lines_to_check"]] == (lines[1:] if end > 1 else lines)


async def test_uses_of_a_package_are_named_where_no_server_answers_fully(
    client: ToolClient, spoke: Spoke, p: Path
) -> None:
    (p / "shop").mkdir()
    (p / "shop" / "compat.py").write_text("def price(): ...\n")
    (p / "user.py").write_text("import shop.compat\nshop.compat.price()\npatch('shop.compat.price')\nx.shop.y()\n")
    spoke.answer = {"complete": True, "changes": [edit("p/user.py", 1, 8, 19, "store.compat")], "covered": []}
    made = await client("move_path", source="p/shop", target="p/store")
    assert [one["line"] for one in made["lines_to_check"]] == [2, 3]


@pytest.mark.parametrize(
    ("line", "named"),
    [("start = 'shop.compat:main'", True), ("start = 'shop.other:main'", False), ("start = 'x.compat:main'", False)],
)
async def test_the_entry_point_of_a_module_is_named(line: str, named: bool, client: ToolClient, p: Path) -> None:
    (p / "shop").mkdir()
    (p / "shop" / "compat.py").write_text("def main(): ...\n")
    (p / "pyproject.toml").write_text(f"[project.scripts]\n{line}\n")
    made = await client("move_path", source="p/shop/compat.py", target="p/shop/prices.py")
    assert [one["line"] for one in made.get("lines_to_check", [])] == ([2] if named else [])


@pytest.mark.parametrize(
    ("file", "line", "named"),
    [
        ("tsconfig.json", '{"references": [{"path": "./packages/util"}]}', True),
        ("CMakeLists.txt", "add_library(x src/util.x)", True),
        ("package.json", '{"util": "^1.0"}', False),
        ("notes.md", "see ./packages/util", False),
    ],
)
async def test_a_path_in_a_configuration_is_named(
    file: str, line: str, named: bool, client: ToolClient, p: Path
) -> None:
    (p / "util.x").write_text("x\n")
    (p / file).write_text(f"{line}\n")
    made = await client("move_path", source="p/util.x", target="p/tool.x")
    assert [one["path"] for one in made.get("lines_to_check", [])] == ([f"p/{file}"] if named else [])


async def test_what_no_server_serves_is_looked_for_by_its_full_name(client: ToolClient, spoke: Spoke, p: Path) -> None:
    (p / "data.json").write_text("{}\n")
    (p / "user.ts").write_text("import data from './data.json';\nimport x from 'data';\n")
    spoke.answer = {"complete": True, "changes": [], "served": False}
    made = await client("move_path", source="p/data.json", target="p/res/data.json")
    assert [(one["path"], one["line"]) for one in made["lines_to_check"]] == [("p/user.ts", 1)]
    (p / "notes.md").write_text("see data\n")
    made = await client("move_path", source="p/notes.md", target="p/docs/notes.md")
    assert {"imports", "lines_to_check"} & set(made) == set()


async def test_a_file_that_is_imported_by_its_directory_is_looked_for_by_that(
    client: ToolClient, spoke: Spoke, p: Path
) -> None:
    (p / "pkg").mkdir()
    (p / "pkg" / "__init__.py").write_text("")
    (p / "main.py").write_text("import pkg\n")
    spoke.answer = {"complete": False, "reason": "unsupported", "message": "No.", "changes": []}
    made = await client("move_path", source="p/pkg/__init__.py", target="p/pkg/init.py")
    assert (made["imports"], [one["path"] for one in made["lines_to_check"]]) == (
        "Imports were not updated: No.",
        ["p/main.py"],
    )


async def test_a_directory_moves_with_edits_inside_and_outside_of_it(client: ToolClient, spoke: Spoke, p: Path) -> None:
    (p / "lib").mkdir()
    for number in range(400):
        (p / "lib" / f"f{number}.ts").write_text(f"import {{ f }} from '../a';\n// {number}\n")
    (p / "link.ts").symlink_to("lib/f0.ts")
    before = snapshot(p)
    inside = [edit(f"p/lib/f{number}.ts", 1, 19, 25, "'../../a'") for number in range(400)]
    spoke.answer = {"complete": True, "changes": [*inside, edit("p/user.ts", 2, 1, 2, "g")], "covered": ["*.ts"]}
    made = await client("move_path", source="p/lib", target="p/src/lib")
    assert (p / "src" / "lib" / "f399.ts").read_text() == "import { f } from '../../a';\n// 399\n"
    assert (p / "user.ts").read_text().endswith("g();\n")
    assert not (p / "lib").exists()
    await client("undo_edit", edit_id=made["edit_id"])
    assert snapshot(p) == before


async def test_a_file_that_is_replaced_and_the_one_that_replaces_it_are_both_put_back(
    client: ToolClient, spoke: Spoke, p: Path
) -> None:
    (p / "b.ts").write_text("export const f = 2;\n")
    before = snapshot(p)
    spoke.answer = {
        "complete": True,
        "changes": [edit("p/a.ts", 1, 14, 15, "h"), edit("p/user.ts", 1, 19, 24, "'./b'")],
    }
    made = await client("move_path", source="p/a.ts", target="p/b.ts", overwrite=True)
    assert (p / "b.ts").read_text() == "export const h = () => 1;\n"
    assert (p / "user.ts").read_text().startswith("import { f } from './b';")
    await client("undo_edit", edit_id=made["edit_id"])
    assert snapshot(p) == before


async def test_a_name_may_change_in_its_case_only(client: ToolClient, spoke: Spoke, p: Path) -> None:
    spoke.answer = {"complete": True, "changes": [edit("p/user.ts", 1, 19, 24, "'./A'")]}
    await client("move_path", source="p/a.ts", target="p/A.ts")
    assert sorted(os.listdir(p)) == ["A.ts", "user.ts"]
    assert (p / "user.ts").read_text() == USER.replace("./a", "./A")


async def test_a_path_through_a_link_is_asked_about_as_the_servers_know_it(
    client: ToolClient, spoke: Spoke, p: Path
) -> None:
    (p / "real").mkdir()
    (p / "real" / "x.ts").write_text("export {};\n")
    (p / "alias").symlink_to("real")
    await client("move_path", source="p/alias/x.ts", target="p/alias/new/y.ts")
    assert [(one["source"], one["target"]) for one in spoke.asked] == [("p/real/x.ts", "p/real/new/y.ts")]


async def test_between_projects_the_spoke_of_the_first_says_what_it_cannot(
    client: ToolClient, spoke: Spoke, p: Path
) -> None:
    spoke.answer = {
        "complete": False,
        "reason": "unsupported",
        "message": "No server sees two projects.",
        "changes": [],
    }
    made = await client("move_path", source="p/a.ts", target="q/a.ts")
    assert spoke.asked[0]["target"] == "q/a.ts"
    assert made["imports"] == "Imports were not updated: No server sees two projects."
    assert [one["path"] for one in made["lines_to_check"]] == ["p/user.ts"]


async def test_a_lean_answer_says_first_what_was_not_done(client: ToolClient, spoke: Spoke, p: Path) -> None:
    spoke.answer = {"complete": False, "reason": "unsupported", "message": "No.", "changes": []}
    text = await client.text("move_path", source="p/a.ts", target="p/b.ts")
    assert text.startswith("imports: Imports were not updated: No.\nlines_to_check:\n  p/user.ts:\n    1:22 import")


@pytest.mark.parametrize(
    ("moves", "other"),
    [
        ("stub.py", "stub.pyi"),
        ("stub.pyi", "stub.py"),
        ("lib.js", "lib.d.ts"),
        ("lib.d.ts", "lib.jsx"),
        ("lib.mjs", "lib.d.mts"),
        ("lib.d.cts", "lib.cjs"),
        ("lib.ts", None),
        ("stub.py", None),
    ],
)
async def test_the_other_of_a_pair_is_named(moves: str, other: str | None, client: ToolClient, p: Path) -> None:
    for name in filter(None, (moves, other, "lib.json", "stub.pyx")):
        (p / name).write_text("\n")
    for preview in (True, False):
        made = await client("move_path", source=f"p/{moves}", target="p/new/x.x", preview=preview, update_imports=False)
        said = None if other is None else f"p/{other} stays where it is; it goes with p/{moves}, so move it too."
        assert made.get("stays") == said
