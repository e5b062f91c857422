"""The role as Ansible runs it: on a host with nothing, again without a change, and after the journal was opened."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the role on this host, with its state below ``tmp_path``; answer with the number of changes."""

    def call(*options: str) -> int:
        state = tmp_path / "state"
        variables = {
            "ansible_python_interpreter": sys.executable,
            "hub_private_key": str(state / "keys/signing.key"),
            "hub_public_key": str(state / "hub/keys/signing.pub"),
            "hub_journal_dir": str(state / "hub/journal"),
            "hub_uid": os.getuid(),
            "hub_gid": os.getgid(),
        }
        play = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "roles": ["hub"]}]
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
        assert done.returncode == 0, done.stdout + done.stderr
        (changed,) = re.findall(r"changed=(\d+)", done.stdout)
        return int(changed)

    return call


def test_a_dry_run_on_a_host_with_nothing_leaves_it_so(run: Run, tmp_path: Path) -> None:
    assert run("--check") == 2
    assert not (tmp_path / "state").exists()


def test_the_journal_is_for_the_hubs_user_alone_and_what_is_in_it_stays(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "state/hub/journal"
    assert run() == 2
    status = journal.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (os.getuid(), os.getgid(), 0o700)
    (journal / "edit").write_text("old content")
    assert run() == 0
    journal.chmod(0o755)
    assert run() == 1
    assert stat.S_IMODE(journal.stat().st_mode) == 0o700
    assert (journal / "edit").read_text() == "old content"
