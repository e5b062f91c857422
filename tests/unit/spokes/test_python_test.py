"""What `test` of the profile `python` gives to pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from codebuddy_testing.programs import load_program

PROGRAM = Path(__file__).parents[3] / "roles/spokes/files/toolchains/python/python-test"
CASE = "import unittest\n\n\nclass Case(unittest.TestCase):\n    def test_it(self) -> None:\n        pass\n"
PYTEST = ["python", "-m", "pytest", "-o", "junit_family=xunit1", "--junitxml=report.xml"]


python_test = load_program(PROGRAM)


@pytest.mark.parametrize(
    ("files", "added"),
    [
        ({"tests/testfoo.py": CASE, "test.py": CASE, "tests/testdata.py": ""}, ["test.py", "tests/testfoo.py"]),
        ({"tests/test_foo.py": CASE}, []),
        ({"tests/testfoo.py": CASE, "pytest.ini": ""}, []),
        ({"tests/testfoo.py": CASE, "tests/conftest.py": ""}, []),
        ({"tests/testfoo.py": CASE, "requirements-dev.txt": "pytest\n"}, []),
        ({"tests/testfoo.py": CASE, "pyproject.toml": "[tool.pytest.ini_options]\n"}, []),
        ({".venv/testfoo.py": CASE, "venv/testfoo.py": CASE}, []),
        ({"src/testing.py": ""}, []),
    ],
)
def test_pytest_is_given_the_files_that_unittest_would_take(
    files: dict[str, str], added: list[str], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert python_test.command(tmp_path, "report.xml", []) == [*PYTEST, *added]


def test_what_the_caller_names_is_tested_alone(tmp_path: Path) -> None:
    (tmp_path / "testfoo.py").write_text(CASE)
    assert python_test.command(tmp_path, "report.xml", ["a.py"]) == [*PYTEST, "a.py"]


def test_the_tests_of_unittest_are_counted(tmp_path: Path) -> None:
    (tmp_path / "testfoo.py").write_text(CASE)
    (tmp_path / "testbar.py").write_text(CASE)
    words = python_test.command(tmp_path, str(tmp_path / "report.xml"), [])
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "report.xml").read_text().count("<testcase ") == 2
