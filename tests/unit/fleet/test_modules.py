"""The modules as Ansible runs them: in check mode on a host without an engine, and with a bad declaration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a module with ``ansible localhost -m``; return its result with ``rc``."""

    def call(module: str, arguments: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        (tmp_path / "ansible.cfg").write_text("")
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
            "ANSIBLE_LIBRARY": str(ROOT / "roles/fleet/library"),
            "ANSIBLE_MODULE_UTILS": ":".join(
                f"{ROOT}/roles/{role}/module_utils" for role in ("engine", "hub", "fleet")
            ),
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
        }
        command = [str(Path(sys.executable).with_name("ansible")), "localhost", "-i", "localhost,", "-c", "local"]
        command += ["-m", module, "-a", json.dumps(arguments), "-e", f"ansible_python_interpreter={sys.executable}"]
        done = subprocess.run(
            [*command, *(["--check"] if check else [])],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert "{" in done.stdout, done.stderr
        result = json.loads(done.stdout[done.stdout.index("{") :])
        return {**result["plays"][0]["tasks"][0]["hosts"]["localhost"], "rc": done.returncode}

    return call


@pytest.fixture
def nowhere(tmp_path: Path, declared: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a fleet on an engine that does not exist."""
    declared["fleet"]["state_dir"] = str(tmp_path / "state")
    return {**declared, "docker_host": f"unix://{tmp_path}/no.sock"}


def test_check_mode_without_an_engine_reports_that_everything_would_be_created(
    run: Run, nowhere: dict[str, Any]
) -> None:
    result = run("codebuddy_fleet", nowhere, check=True)
    assert (result["rc"], result["changed"], result["generation"]) == (0, True, None)
    assert "create container unitfleet-api" in result["changes"]
    assert result["summary"] == "Create hub, api, web."
    assert result["diff"]["before"].strip() == "generations:\n  latest:\n    number: null"
    assert not Path(nowhere["fleet"]["state_dir"]).exists()


def test_without_an_engine_a_run_fails_with_a_sentence(run: Run, nowhere: dict[str, Any]) -> None:
    result = run("codebuddy_fleet", nowhere)
    assert result["rc"] != 0
    assert result["msg"].startswith(f"No engine answers at {nowhere['docker_host']}: start it")


def test_a_plan_is_rendered_without_engine(run: Run, nowhere: dict[str, Any]) -> None:
    result = run("codebuddy_fleet", {**nowhere, "state": "rendered"})
    assert result["changed"] is False
    assert sorted(result["plan"]["containers"]) == ["unitfleet-api", "unitfleet-hub", "unitfleet-web"]


def test_a_bad_declaration_fails_with_a_sentence_for_each_problem(
    run: Run, nowhere: dict[str, Any], tmp_path: Path
) -> None:
    arguments = {
        **nowhere,
        "state": "validated",
        "projects": [{"id": "Bad", "path": str(tmp_path / "api"), "profile": "cobol", "memory": "x"}],
        "profiles": ["python"],
        "variables": {"all": ["codebuddy_prot"], "Bad": ["memmory"]},
    }
    result = run("codebuddy_fleet", arguments, check=True)
    assert result["rc"] != 0
    assert len(result["problems"].splitlines()) == 4
    assert result["msg"] == "The declaration is wrong, and nothing was changed."
    assert result["warnings"] == ["host Bad: memmory is not a setting and has no effect; did you mean memory?"]


def test_a_fleet_without_a_project_is_refused_with_how_to_declare_one(run: Run, nowhere: dict[str, Any]) -> None:
    arguments = {**nowhere, "state": "validated", "projects": [], "profiles": ["python"]}
    result = run("codebuddy_fleet", arguments)
    assert result["rc"] != 0
    assert result["problems"].startswith(
        "fleet: the inventory declares no project: add one to the group of its profile"
    )


def test_a_good_declaration_passes_and_changes_nothing(run: Run, nowhere: dict[str, Any], tmp_path: Path) -> None:
    arguments = {
        **nowhere,
        "state": "validated",
        "projects": [{"id": "api", "path": str(tmp_path / "api"), "profile": "python"}],
        "profiles": ["python"],
    }
    assert run("codebuddy_fleet", arguments)["problems"] == ""
    assert not (tmp_path / "api").exists()
    assert not (tmp_path / "state").exists()


def test_what_does_not_work_of_a_repository_is_a_warning(run: Run, nowhere: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "api").mkdir(mode=0o777)
    (tmp_path / "api").chmod(0o777)
    (tmp_path / "api/.git").write_text("gitdir: /elsewhere/.git/worktrees/api\n")
    project = {"id": "api", "path": str(tmp_path / "api"), "profile": "python", "allow_root_owned": True}
    result = run("codebuddy_fleet", {**nowhere, "state": "validated", "projects": [project], "profiles": ["python"]})
    assert result["rc"] == 0
    assert result["warnings"] == result["doubts"]
    assert "its .git refers to '/elsewhere/.git/worktrees/api'" in result["doubts"][0]
