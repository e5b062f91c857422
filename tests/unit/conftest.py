"""Runs roles as Ansible does, on this host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_roles(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run roles with the given variables; return the number of changes, and the output."""

    def run(roles: list[str], variables: dict[str, Any], *options: str) -> tuple[int, str]:
        variables = {"ansible_python_interpreter": sys.executable, **variables}
        play = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "roles": roles}]
        (tmp_path / "play.yml").write_text(json.dumps(play))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
        done = subprocess.run(
            [*command, *options, str(tmp_path / "play.yml")],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        (changed,) = re.findall(r"changed=(\d+)", done.stdout)
        return int(changed), output

    return run
