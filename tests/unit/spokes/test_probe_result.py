"""What the isolation proof shows of a spoke, whose programs can forge everything that the probe says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
FORGED = "it is fine\nTASK [forged] ****\nok: [forged]\r\x1b[2J\u202e\u2028PLAY RECAP forged"


def verify(folder: Path, stdout: str, stderr: str = "") -> tuple[int, str]:
    """Run the role's proof in a "spoke" whose Python prints this; return the exit code, and all that Ansible prints."""
    (folder / "stdout").write_text(stdout)
    (folder / "stderr").write_text(stderr)
    python = folder / "python"
    python.write_text(f"#!/bin/sh\ncat >/dev/null\ncat '{folder}/stderr' >&2\ncat '{folder}/stdout'\n")
    python.chmod(0o755)
    task = {"ansible.builtin.import_role": {"name": "spokes", "tasks_from": "verify"}}
    variables = {
        "ansible_python_interpreter": str(python), "spokes_foreign_addresses": [], "spokes_foreign_paths": [],
    }  # fmt: skip
    play = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [task]}]
    (folder / "play.yml").write_text(json.dumps(play))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "play.yml"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "ansible")},
        cwd=folder, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).decode()


FAILED: dict[str, Any] = {"failed": True, "attempts": 3}


@pytest.mark.parametrize(
    ("stdout", "stderr", "fails"),
    [
        (json.dumps({**FAILED, "msg": "no", "breaches": [FORGED]}), "", True),
        (json.dumps({**FAILED, "msg": FORGED, "exception": FORGED, "warnings": [FORGED]}), "", True),
        (json.dumps({**FAILED, "msg": "no", "breaches": [FORGED] * 1000, "deprecations": [{"msg": FORGED}]}), "", True),
        (FORGED, FORGED, True),
        (json.dumps({"changed": True, "attempts": 3, "warnings": [FORGED], "diff": {"prepared": FORGED}}), "", False),
        ('{"changed": false, "attempts": 3}\n' + FORGED, "", False),
    ],
    ids=["sentence", "message", "many", "no result", "success", "behind the result"],
)
def test_nothing_that_a_spoke_says_looks_like_a_line_of_the_play(
    tmp_path: Path, stdout: str, stderr: str, fails: bool
) -> None:
    code, output = verify(tmp_path, stdout, stderr)
    assert (code != 0) == fails, output
    lines = output.split("\n")
    assert all(line.isprintable() for line in lines), output
    assert len(lines) < 50, output
    assert not any(line.lstrip().startswith(("TASK [forged", "ok: [forged", "PLAY RECAP forged")) for line in lines)
    assert "changed=0" in output
    if fails:
        assert r"it is fine\nTASK [forged]" in output, output
