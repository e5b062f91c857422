"""Diagnostics of runs stand at the right file of the project, or at none.

``located.json`` has what real tools printed for small projects in ``/workspace``, line by line as it arrived: make 4.4,
GCC 14.2, CMake 3.31 and Ninja 1.12; cargo 1.85; Go 1.24; TypeScript 7.0.2 under npm 11, pnpm 12.4.2 and Yarn
4.18.1 and 1.22.22.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp.tree import Tree
from codebuddy.agent.reports.formats import FORMATS
from codebuddy.agent.runs.reporting import ReportReader, is_quoted
from codebuddy.schemas.runs import Reported

LOCATED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "located.json").read_text(encoding="utf-8"))

RECORDED = Path(__file__).parents[1] / "reports/recorded"
ARGUMENTS = [
    [],
    ["-C", "lib", "\0", "x" * 10_000],
    ["yarn", "workspaces", "packages/a/package.json"],
    ["--filter=pnpm"],
]

Read = Callable[..., Reported]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads output in a format, in a project with some files."""
    root = tmp_path.resolve()

    def _read(
        format_name: str, files: dict[str, str], output: Sequence[tuple[str, str]], argv: Sequence[str] = ()
    ) -> Reported:
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        reader = ReportReader([format_name], None, Tree("p", root), root, argv)
        for stream, line in output:
            reader.add(stream, line.replace("/workspace", str(root)).encode() + b"\n")  # type: ignore[arg-type]
        return reader.finish()

    return _read


def places(reported: Reported) -> list[str]:
    return [f"{one.path.removeprefix('p/')}:{one.line}:{one.column}" for one in reported.diagnostics or []]


@pytest.mark.parametrize("name", LOCATED)
def test_diagnostics_stand_at_the_file_that_the_tool_meant(name: str, read: Read) -> None:
    case = LOCATED[name]
    reported = read(case["format"], case["files"], case["output"], case["argv"])
    assert places(reported) == case["diagnostics"]
    assert (reported.unlocated or []) == case["unlocated"]
    assert reported.more_diagnostics is None
    failures = [f"{str(one.path).removeprefix('p/')}:{one.line}" for one in reported.failures or []]
    assert failures == case.get("failures", [])


def gcc(path: str, shown: str, number: int = 1) -> list[tuple[str, str]]:
    return [("stderr", f"{path}:1:1: error: no"), ("stderr", f"    {number} | {shown}"), ("stderr", "      | ^")]


def test_a_file_without_the_shown_line_is_not_the_one_that_is_meant(read: Read) -> None:
    reported = read("gcc", {"a.c": "int a;\n"}, gcc("a.c", "int b;"))
    assert (places(reported), reported.unlocated) == ([], ["a.c:1:1: error: no"])
    assert reported.report_problem is None


@pytest.mark.parametrize("path", ["/usr/include/stdio.h", "../outside.c", "sub/../../outside.c", "nowhere.c", "a\0.c"])
def test_a_file_outside_the_project_is_none_of_it(path: str, read: Read, tmp_path: Path) -> None:
    (tmp_path.parent / "outside.c").write_text("int a;\n")
    reported = read("gcc", {"a.c": "int a;\n", "sub/a.c": ""}, gcc(path, "int a;"))
    assert places(reported) == []
    assert reported.unlocated == [f"{path}:1:1: error: no"]


def test_make_that_leaves_the_project_leads_nowhere(read: Read) -> None:
    entered = [("stdout", "make: Entering directory '/usr/include'"), ("stdout", "make: Entering directory '/'")]
    reported = read("gcc", {"a.c": "int a;\n"}, [*entered, *gcc("stdio.h", "int a;")], ["make", "-C", "/usr/include"])
    assert (places(reported), reported.unlocated) == ([], ["stdio.h:1:1: error: no"])


@pytest.mark.parametrize(
    "argv",
    [["cmake", "--build", "out"], ["sh", "-c", "cd 'out' && ninja"], ["make", "--directory=out/"], ["cc", "out/x.c"]],
)
def test_a_directory_that_the_command_line_names_is_looked_into(argv: list[str], read: Read) -> None:
    files = {"src/a.c": "int a;\n", "out/x.c": ""}
    assert places(read("gcc", files, gcc("../src/a.c", "int a;"), argv)) == ["src/a.c:1:1"]


def test_cargo_that_names_no_package_may_run_in_a_directory_that_the_command_line_names(read: Read) -> None:
    manifest = '[package]\nname = "a"\nversion = "0.1.0"\n'
    files = {"Cargo.toml": manifest, "src/lib.rs": "\n", "tool/Cargo.toml": manifest, "tool/src/lib.rs": "\n"}
    files["tool/src/own.rs"] = "\n"
    output = [("stderr", f"src/{name}.rs:1:1: warning: odd") for name in ("lib", "own")]
    reported = read("cargo", files, output, ["sh", "-c", "cd tool && cargo check --message-format short"])
    assert (places(reported), reported.unlocated) == (["tool/src/own.rs:1:1"], ["src/lib.rs:1:1: warning: odd"])


def test_the_shown_line_of_a_note_is_not_that_of_the_error(read: Read) -> None:
    noted = [("stderr", "a.c:1:1: error: no"), ("stderr", "b.h:1:1: note: here"), ("stderr", "    1 | int b;")]
    assert places(read("gcc", {"a.c": "int a;\n", "b.h": "int b;\n"}, noted)) == ["a.c:1:1"]


def test_colours_and_line_ends_of_windows_do_not_hide_a_directory(read: Read) -> None:
    entered = "\x1b[1mmake[1]: Entering directory '/workspace/lib'\x1b[0m\r"
    reported = read("gcc", {"lib/a.c": "int a;\n"}, [("stdout", entered), *gcc("a.c", "int a;\r")])
    assert places(reported) == ["lib/a.c:1:1"]


def test_a_recipe_of_make_that_calls_another_program_may_still_print_from_the_top(read: Read) -> None:
    files = {"a.c": "int a;\n", "sub/b.c": "int b;\n"}
    entered = [("stdout", "ninja: Entering directory `sub'")]
    assert places(read("gcc", files, [*entered, *gcc("a.c", "int a;")], ["make", "all"])) == ["a.c:1:1"]


def test_many_files_that_may_be_meant_are_compared_up_to_a_limit(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    lines = Tree.lines

    def _lines(tree: Tree, path: Path) -> list[str]:
        reads.append(path)
        return lines(tree, path)

    monkeypatch.setattr(Tree, "lines", _lines)
    files = {f"{number}/a.c": f"int a{number};\n" for number in range(100)} | {"b.c": "int b;\n"}
    entered = [("stdout", f"make[1]: Entering directory '/workspace/{number}'") for number in range(100)]
    wrong = [line for number in range(100) for line in gcc("a.c", f"int none{number};")]
    assert places(read("gcc", files, [*entered, *wrong, *gcc("b.c", "int b;"), *gcc("b.c", "int c;")])) == ["b.c:1:1"]
    assert len(reads) < 3000


@pytest.mark.parametrize("seed", range(4))
def test_output_in_any_order_and_with_any_bytes_gives_a_report(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    recorded = [line.encode() for case in LOCATED.values() for _, line in case["output"]]
    recorded += [line for path in RECORDED.glob("*/*.txt") for line in path.read_bytes().split(b"\n")]
    for case in LOCATED.values():
        for path, text in case["files"].items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        reader = ReportReader(
            [*FORMATS], None, Tree("p", tmp_path), tmp_path, [*case["argv"], *source.choice(ARGUMENTS)]
        )
        for line in source.sample(recorded, 400):
            changed = bytearray(line)
            at = source.randrange(len(changed) + 1)
            changed[at : at + source.randrange(3)] = source.randbytes(source.randrange(3))
            reader.add(
                source.choice(["stdout", "stderr"]), source.choice([line, changed]) + source.choice([b"\n", b"\r\n"])
            )
        for one in reader.finish(1).diagnostics or []:
            assert (tmp_path / one.path.removeprefix("p/")).is_file()


def test_paths_of_windows_lead_nowhere(read: Read) -> None:
    output = [("stdout", "make: Entering directory 'C:\\\\work'"), ("stdout", "C:\\\\work\\\\a.c:1:1: error: no")]
    assert read("gcc", {"a.c": "int a;\n"}, output).unlocated == ["C:\\\\work\\\\a.c:1:1: error: no"]


def test_a_report_of_eslint_in_one_long_line_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("one();\n")
    message = {"ruleId": "no-undef", "severity": 2, "message": "no", "line": 1, "column": 1}
    results = [{"filePath": str(tmp_path.resolve() / "a.js"), "messages": [message], "source": "x" * 300_000}]
    reader = ReportReader(["eslint"], None, Tree("p", tmp_path), tmp_path)
    data = json.dumps(results).encode() + b"\n"
    for start in range(0, len(data), 65536):
        reader.add("stdout", data[start : start + 65536])
    assert places(reader.finish(1)) == ["a.js:1:1"]


def test_linters_in_the_form_of_junit_name_diagnostics_and_no_tests(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('a = "😀"; b\n')
    case = (
        '<testcase name="org.ty.no" line="1" column="10"><failure message="no">line 1, col 10, no</failure></testcase>'
    )
    file = tmp_path / "report.xml"
    file.write_text(
        f'<testsuites name="ty"><testsuite name="{tmp_path}/a.py" package="org.ty">{case}</testsuite></testsuites>'
    )
    reported = ReportReader(["junit"], file, Tree("p", tmp_path), tmp_path).finish(1)
    assert (reported.counts, reported.failures, places(reported)) == (None, None, ["a.py:1:10"])


def test_a_report_in_a_file_is_of_the_package_whose_script_wrote_it(tmp_path: Path) -> None:
    for name in ("packages/a", "packages/b"):
        (tmp_path / name / "test").mkdir(parents=True)
        manifest = {"name": name, "version": "1.0.0", "scripts": {"test": "vitest"}}
        (tmp_path / name / "package.json").write_text(json.dumps(manifest))
    (tmp_path / "packages/b/test/b.test.ts").write_text("one();\n")
    file = tmp_path / "report.xml"
    case = '<testcase name="b"><failure message="no">at test/b.test.ts:1:1</failure></testcase>'
    file.write_text(f"<testsuites><testsuite>{case}</testsuite></testsuites>")
    reader = ReportReader(["junit"], file, Tree("p", tmp_path), tmp_path, ["npm", "test", "--workspaces"])
    for name in ("packages/a", "packages/b"):
        reader.add("stdout", f"\n> {name}@1.0.0 test\n> vitest\n\n".encode())
    (failure,) = reader.finish(1).failures or []
    assert (failure.path, failure.line) == ("p/packages/b/test/b.test.ts", 1)


def test_many_directories_take_linear_time(read: Read) -> None:
    output = [("stdout", f"make[1]: Entering directory '/workspace/{number}'") for number in range(5000)]
    output += [("stdout", f"{line}\n> a@1 b\n> {'npm ' * 9000}") for line in range(50)]
    output += [("stdout", "x" * 70_000), ("stdout", "[" * 70_000), ("stdout", "\0$ \0: ")]
    assert places(read("gcc", {"7/a.c": "int a;\n"}, [*output, *gcc("a.c", "int a;")])) == ["7/a.c:1:1"]


@pytest.mark.parametrize(
    ("line", "quote", "same"),
    [
        ("\tint a;  // b", "        int a;  // b", True),
        ("int a;", "int b;", False),
        ("", "", True),
        ("x" * 400, "x" * 300, True),
        ("a" * 100 + " = find(one, two)", "...aaa = find(one, ...", True),
        ("a" * 100 + " = find(one, two)", "...aaa = find(two, ...", False),
        ("s = '\u202e'; t = 1", "s = '\ufffd'; t = 1", True),
        ("s = '\u202e'; t = 1", "s = '\ufffd'; t = 2", False),
        ("s = '\ufffd'; t = 1", "s = '<e9>'; t = 1", True),
        ("s = '\x1b\u202e'; t = 1", "s = '<1b><U+202E>'; t = 1", True),
        ("a; b;", "b;", False),
    ],
)
def test_a_line_is_recognized_as_tools_show_it(line: str, quote: str, same: bool) -> None:
    assert is_quoted(line, quote) is same
