"""What `install` of the profile `python` takes of a project's declarations, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codebuddy_testing.programs import load_program

FILES = Path(__file__).parents[3] / "roles/spokes/files/toolchains/python"


install = load_program(FILES / "python-install")

PROJECT = '[project]\nname = "it"\nversion = "1"\n'
BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def plan(top: Path, files: dict[str, str], **options: Any) -> Any:
    """Write a project's files, and plan its installation."""
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return install.plan(top, **options)


# name: files, arguments of pip, requirements, what is left
SHAPES: dict[str, tuple[dict[str, str], list[str], list[str], list[str]]] = {
    "requests: a requirements file for development": (
        {"setup.py": "", "setup.cfg": "", "requirements-dev.txt": "-e .[socks]", "docs/requirements.txt": ""},
        ["--editable", ".", "--requirement", "requirements-dev.txt"],
        [],
        [],
    ),
    "flask: groups that uv takes by default": (
        {
            "pyproject.toml": BUILD + PROJECT + 'optional-dependencies = {async = ["asgiref"]}\n'
            '[dependency-groups]\ndev = ["tox"]\ntests = ["pytest"]\ntyping = ["mypy"]\ndocs = ["sphinx"]\n'
            '[tool.uv]\ndefault-groups = ["typing"]\n'
        },
        ["--editable", "."],
        ["tox", "pytest", "mypy"],
        ["extra async", "group docs"],
    ),
    "attrs: groups that include others": (
        {
            "pyproject.toml": BUILD + PROJECT + '[dependency-groups]\ntests = ["hypothesis"]\n'
            'cov = [{include-group = "tests"}, "coverage"]\ndev = [{include-group = "Tests"}, "ruff"]\n'
        },
        ["--editable", "."],
        ["hypothesis", "hypothesis", "ruff"],
        ["group cov"],
    ),
    "extras": (
        {
            "pyproject.toml": BUILD + PROJECT + "[project.optional-dependencies]\n"
            'testing = ["pytest"]\ndev = ["it[testing]"]\nspeed = ["cython"]\ntest-docs = ["sphinx"]\n'
        },
        ["--editable", ".[testing,dev]"],
        [],
        ["extra speed", "extra test-docs"],
    ),
    "an application without a build system": (
        {
            "pyproject.toml": PROJECT + 'dependencies = ["httpx"]\n'
            '[project.optional-dependencies]\ntest = ["it[web]", "pytest"]\nweb = ["uvicorn"]\n'
        },
        [],
        ["httpx", "uvicorn", "pytest"],
        ["extra web"],
    ),
    "a src layout without a build system": (
        {"pyproject.toml": PROJECT, "src/it/__init__.py": ""},
        ["--editable", "."],
        [],
        [],
    ),
    "settings of tools alone are no project": (
        {"pyproject.toml": "[tool.ruff]\nline-length = 100\n", "requirements.txt": "django\n"},
        ["--requirement", "requirements.txt"],
        [],
        [],
    ),
    "requirements in a directory": (
        {
            "requirements/base.in": "",
            "requirements/base.txt": "",
            "requirements/local.txt": "",
            "requirements/production.txt": "",
            "requirements/constraints.txt": "",
            "tests/requirements.txt": "",
        },
        [
            *["--requirement", "requirements/base.txt"],
            *["--requirement", "requirements/local.txt"],
            *["--requirement", "tests/requirements.txt"],
        ],
        [],
        ["requirements/production.txt"],
    ),
    "names of requirements files": (
        {
            "requirements.txt": "",
            "test-requirements.txt": "",
            "dev_requirements.txt": "",
            "requirements-testing.txt": "",
            "requirements-docs.txt": "",
            "requirements-dev.in": "",
        },
        [
            *["--requirement", "dev_requirements.txt"],
            *["--requirement", "requirements-dev.in"],
            *["--requirement", "requirements-testing.txt"],
            *["--requirement", "requirements.txt"],
            *["--requirement", "test-requirements.txt"],
        ],
        [],
        ["requirements-docs.txt"],
    ),
    "Poetry without a lock": (
        {
            "pyproject.toml": '[tool.poetry]\nname = "it"\nversion = "1"\n'
            '[tool.poetry.group.test.dependencies]\npytest = "^8.1"\nrich = {version = "~0.2", extras = ["a"]}\n'
            'old = {version = "*", python = "<3.9"}\n'
            '[tool.poetry.group.docs.dependencies]\nsphinx = "*"\n'
            '[build-system]\nrequires = ["poetry-core"]\n'
        },
        ["--editable", "."],
        ["pytest>=8.1,<9", "rich[a]>=0.2,<0.3", "old ; python_version < '3.9'"],
        ["Poetry's group docs"],
    ),
    "PDM's and uv's own groups": (
        {
            "pyproject.toml": BUILD + PROJECT + '[tool.pdm.dev-dependencies]\ntest = ["pytest"]\nlint = ["ruff"]\n'
            '[tool.uv]\ndev-dependencies = ["mock"]\n'
        },
        ["--editable", "."],
        ["mock", "pytest"],
        ["PDM's group lint"],
    ),
    "a Pipfile without a lock": (
        {"Pipfile": '[packages]\nflask = "*"\n[dev-packages]\npytest = ">=8"\n'},
        [],
        ["flask", "pytest>=8"],
        [],
    ),
    "tox, where nothing else says what tests need": (
        {
            "pyproject.toml": BUILD + PROJECT,
            "tox.ini": "[testenv]\ndeps =\n  pytest>=7\n  py38: mock\n  -r{toxinidir}/ci/deps.txt\n  {env:X}\n",
        },
        ["--editable", ".", "--requirement", "ci/deps.txt"],
        ["pytest>=7"],
        [],
    ),
    "Hatch, where nothing else says what tests need": (
        {"pyproject.toml": BUILD + PROJECT + '[tool.hatch.envs.hatch-test]\nextra-dependencies = ["respx"]\n'},
        ["--editable", "."],
        ["respx"],
        [],
    ),
    "a workspace of uv": (
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/c"]\n',
            "packages/a/pyproject.toml": BUILD + PROJECT,
            "packages/b/README": "",
            "packages/c/pyproject.toml": BUILD + PROJECT,
        },
        ["--editable", "./packages/a"],
        [],
        [],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_taken_of_a_project(name: str, tmp_path: Path) -> None:
    files, arguments, requirements, left = SHAPES[name]
    found = plan(tmp_path, files)
    assert (found.arguments, found.requirements, found.left) == (arguments, requirements, left)
    assert found.taken


def test_the_extras_of_a_setup_py_are_those_of_its_build(tmp_path: Path) -> None:
    (tmp_path / "setup.py").touch()
    assert install.extras_unknown(tmp_path)
    found = plan(tmp_path, {}, extras_of_build=["tests", "socks"])
    assert found.arguments == ["--editable", ".[tests]"]
    assert found.left == ["extra socks"]


def test_nothing_is_taken_of_an_empty_directory(tmp_path: Path) -> None:
    assert plan(tmp_path, {"README.md": ""}).taken == []


@pytest.mark.parametrize("text", ["[project\n", '[dependency-groups]\ndev = [{include-group = "dev"}]\n'])
def test_a_file_that_cannot_be_read_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pyproject\.toml: "):
        plan(tmp_path, {"pyproject.toml": text})


UV_LOCK = """
version = 1
[[package]]
name = "it"
source = { editable = "." }
[[package]]
name = "other"
version = "0"
source = { editable = "libs/other" }
[[package]]
name = "Flask"
version = "3.1.1"
source = { registry = "index" }
[[package]]
name = "numpy"
version = "1.0"
source = { registry = "index" }
resolution-markers = ["python_full_version < '3.9'"]
[[package]]
name = "numpy"
version = "2.0"
source = { registry = "index" }
resolution-markers = ["python_full_version >= '3.9'"]
[[package]]
name = "forked"
version = "1"
source = { git = "somewhere" }
"""
POETRY_LOCK = """
[[package]]
name = "pytest"
version = "8.3.1"
markers = "python_version >= '3.8'"
[[package]]
name = "old"
version = "1"
markers = "python_version < '3'"
[[package]]
name = "mirrored"
version = "4"
[package.source]
type = "legacy"
url = "elsewhere"
"""
PDM_LOCK = """
[[package]]
name = "pytest"
version = "8.3.1"
groups = ["test"]
marker = "python_version >= '3.9'"
[[package]]
name = "it"
version = "1"
path = "./it"
"""
PYLOCK = """
lock-version = "1.0"
[[packages]]
name = "attrs"
version = "25.1.0"
wheels = [{name = "attrs-25.1.0-py3-none-any.whl", url = "somewhere", hashes = {sha256 = "0"}}]
[[packages]]
name = "pytest"
version = "8.3.1"
marker = "'test' in dependency_groups"
[[packages]]
name = "sphinx"
version = "8"
marker = "'docs' in dependency_groups"
[[packages]]
name = "it"
directory = {path = "."}
"""
PIPFILE_LOCK = json.dumps(
    {
        "default": {"flask": {"version": "==3.1", "markers": "python_version >= '3.9'", "extras": ["async"]}},
        "develop": {
            "pytest": {"version": "==8.3.1"},
            "old": {"version": "==1", "markers": "python_version < '3'"},
            "fork": {"git": "https://example.org/fork.git", "ref": "abc"},
        },
    }
)
LOCKS: dict[str, tuple[str, list[str], list[str]]] = {
    "uv.lock": (UV_LOCK, ["flask==3.1.1", "numpy==2.0"], []),
    "poetry.lock": (POETRY_LOCK, ["pytest==8.3.1", "mirrored==4"], []),
    "pdm.lock": (PDM_LOCK, ["pytest==8.3.1"], []),
    "pylock.toml": (PYLOCK, ["attrs==25.1.0", "pytest==8.3.1"], ["attrs==25.1.0", "pytest==8.3.1"]),
    "Pipfile.lock": (
        PIPFILE_LOCK,
        [],
        ["flask[async]==3.1", "pytest==8.3.1", "fork @ git+https://example.org/fork.git@abc"],
    ),
}


@pytest.mark.parametrize("name", LOCKS)
def test_pip_is_held_to_the_versions_of_a_lock_file(name: str, tmp_path: Path) -> None:
    text, constraints, requirements = LOCKS[name]
    found = plan(tmp_path, {name: text})
    assert (found.constraints, found.requirements) == (constraints, requirements)
    assert found.taken == [f"the versions of {name}"]


def test_the_packages_beside_the_project_in_its_lock_are_installed_too(tmp_path: Path) -> None:
    files = {"uv.lock": UV_LOCK, "pyproject.toml": BUILD + PROJECT, "libs/other/pyproject.toml": BUILD + PROJECT}
    found = plan(tmp_path, files)
    assert found.arguments == ["--editable", ".", "--editable", "./libs/other"]


def test_of_several_lock_files_one_is_taken(tmp_path: Path) -> None:
    found = plan(tmp_path, {"uv.lock": UV_LOCK, "poetry.lock": POETRY_LOCK})
    assert found.taken == ["the versions of uv.lock"]
    assert found.left == ["poetry.lock"]


def test_a_locked_version_replaces_the_range_of_poetry(tmp_path: Path) -> None:
    pyproject = '[tool.poetry]\n[tool.poetry.dev-dependencies]\npytest = "^8"\n[build-system]\n'
    found = plan(tmp_path, {"pyproject.toml": pyproject, "poetry.lock": POETRY_LOCK})
    assert found.requirements == ["pytest"]
    assert "pytest==8.3.1" in found.constraints


@pytest.mark.parametrize(
    ("written", "means"),
    [
        *[("*", ""), ("^1.2.3", ">=1.2.3,<2"), ("^0.2.3", ">=0.2.3,<0.3"), ("^0.0.3", ">=0.0.3,<0.0.4")],
        *[("^0", ">=0,<1"), ("~1.2.3", ">=1.2.3,<1.3"), ("~1", ">=1,<2"), (">=1,<2", ">=1,<2"), ("1.2", "==1.2")],
        *[(">= 1.2, < 2", ">=1.2,<2"), ("1.*", "==1.*"), ("~=1.2", "~=1.2"), (">=1 <3", ">=1,<3"), ("", "")],
        *[("^1 || ^2", ">=2,<3"), ("==1.2", "==1.2")],
    ],
)  # fmt: skip
def test_poetrys_ranges(written: str, means: str) -> None:
    assert install.version_range(written) == means
