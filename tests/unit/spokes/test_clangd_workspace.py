"""clangd is started with a compilation database of the whole project."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[3] / "roles/spokes/files/toolchains/cpp/clangd-workspace"
CMAKE = """#!/bin/sh
echo configured
test ! -e "$2/broken" || exit 1
mkdir -p "$4" && echo '[{"directory": "/", "file": "from-cmake.cpp"}]' > "$4/compile_commands.json"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two sources; clangd and cmake are scripts that print their arguments."""
    for name, text in {"clangd": '#!/bin/sh\nprintf "%s\\n" "$@"\n', "cmake": CMAKE}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    for name in ("project/main.cpp", "project/lib/half.c", "project/.git/hook.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("int x;\n")
    (tmp_path / "home").mkdir()
    return tmp_path / "project"


def database(project: Path, *arguments: str) -> tuple[Path, list[dict[str, Any]]]:
    """Run the program; return the path and the content of the database that clangd is told to use."""
    top = project.parent
    environment = {"PATH": f"{top / 'bin'}:{os.environ['PATH']}", "HOME": str(top / "home")}
    done = subprocess.run(
        [str(PROGRAM), *arguments], cwd=project, env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    first, *others = done.stdout.splitlines()  # only clangd may write there
    assert others == list(arguments)
    path = Path(first.removeprefix("--compile-commands-dir="), "compile_commands.json")
    return path, json.loads(path.read_text())


def test_arguments_reach_clangd_and_nothing_is_written_to_the_project(project: Path) -> None:
    before = sorted(project.rglob("*"))
    path, _ = database(project, "--background-index", "--log=error")
    assert path.is_relative_to(project.parent / "home")
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("place", [".", "build"])
def test_the_projects_own_database_is_used(project: Path, place: str) -> None:
    (project / place).mkdir(exist_ok=True)
    own = project / place / "compile_commands.json"
    (project / "CMakeLists.txt").touch()
    for name in ("first.cpp", "second.cpp"):
        own.write_text(json.dumps([{"directory": str(project), "file": name, "command": "c++"}]))
        path, entries = database(project)
        assert [entry["file"] for entry in entries] == [name]
    own.write_text("[]")
    assert json.loads(path.read_text()) == []


@pytest.mark.parametrize(
    "text", ['[{"directory": "/home/somebody/elsewhere", "file": "a.cpp"}]', "[", "{}", "[1]", '[{"directory": 1}]']
)
def test_a_database_from_another_place_or_with_invalid_content_is_ignored(project: Path, text: str) -> None:
    (project / "compile_commands.json").write_text(text)
    (project / "CMakeLists.txt").touch()
    assert [entry["file"] for entry in database(project)[1]] == ["from-cmake.cpp"]


def test_all_sources_are_listed_if_cmake_fails(project: Path) -> None:
    (project / "CMakeLists.txt").touch()
    (project / "broken").touch()
    files = {entry["file"] for entry in database(project)[1]}
    assert files == {str(project / "main.cpp"), str(project / "lib/half.c")}


def test_databases_deeper_in_the_project_are_used_and_other_sources_are_listed_beside_them(project: Path) -> None:
    for place, flag in {"lib/out/Debug": "-DDEEP", "lib": "-DNEAR"}.items():
        entry = {"directory": str(project / "lib"), "file": "half.c", "command": f"cc {flag} half.c"}
        (project / place).mkdir(parents=True, exist_ok=True)
        (project / place / "compile_commands.json").write_text(json.dumps([entry]))
    nearest, other = database(project)[1]
    assert nearest["command"] == "cc -DNEAR half.c"
    assert other["file"] == str(project / "main.cpp")


def test_every_source_is_listed_however_many_there_are(project: Path) -> None:
    (project / "many").mkdir()
    for number in range(50_000):
        (project / f"many/{number}.c").touch()
    assert len(database(project)[1]) == 50_002


def test_sources_have_the_flags_of_the_nearest_compile_flags_file(project: Path) -> None:
    (project / "compile_flags.txt").write_text("-std=c++20\n\n-Iinclude\n")
    (project / "lib/compile_flags.txt").write_text("-std=c17\n")
    entries = {Path(entry["file"]).name: entry for entry in database(project)[1]}
    assert entries["main.cpp"]["arguments"][1:3] == ["-std=c++20", "-Iinclude"]
    assert entries["half.c"]["arguments"][1:2] == ["-std=c17"]
    assert (entries["main.cpp"]["directory"], entries["half.c"]["directory"]) == (str(project), str(project / "lib"))
