"""The role as Ansible runs it: what it says of secrets, at its most talkative, and on a host with nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SECRET = "what-nobody-is-told"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the role, after the one that makes the key; answer with the number of changes and all that was said."""

    def call(*options: str, **secrets: Path) -> tuple[int, str]:
        state = tmp_path / "state"
        project = {"id": "api", "secrets": {name: str(path) for name, path in secrets.items()}}
        variables = {
            "ansible_python_interpreter": sys.executable,
            "hub_private_key": str(state / "keys/signing.key"),
            "hub_public_key": str(state / "hub/keys/signing.pub"),
            "hub_journal_dir": str(state / "hub/journal"),
            "spokes_private_key": str(state / "keys/signing.key"),
            "spokes_tokens_dir": str(state / "tokens"),
            "spokes_secrets_dir": str(state / "secrets"),
            "spokes_projects": [project, {"id": "web", "secrets": {}}],
            **{f"{role}_{name}": number for role in ("hub", "spokes") for name, number in _me().items()},
        }
        play = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "roles": ["hub", "spokes"]}]
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
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        (changed,) = re.findall(r"changed=(\d+)", done.stdout)
        return int(changed), said

    return call


def _me() -> dict[str, int]:
    return {"uid": os.getuid(), "gid": os.getgid()}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(SECRET)
    return path


def test_a_dry_run_on_a_host_with_nothing_says_what_would_be_copied_and_leaves_it_so(
    run: Run, key: Path, tmp_path: Path
) -> None:
    changed, said = run("--check", "--diff", key=key)
    assert changed == 4  # keys, journal, tokens, secrets
    assert "state/secrets/api/key: added" in said
    assert not (tmp_path / "state").exists()


def test_a_secret_is_copied_exchanged_and_removed_and_never_told(run: Run, key: Path, tmp_path: Path) -> None:
    copies = tmp_path / "state/secrets"
    talkative = ("--diff", "-vvv")
    all_said = run(*talkative, key=key)[1]
    assert (copies / "api/key").read_text() == SECRET
    assert not (copies / "web").exists()
    assert run(*talkative, key=key)[0] == 0
    key.write_text(f"another-{SECRET}")
    changed, said = run(*talkative, key=key)
    assert (changed, "state/secrets/api/key: changed" in said) == (1, True)
    all_said += said
    changed, said = run(*talkative)
    assert (changed, "state/secrets/api/key: removed" in said) == (1, True)
    assert list(copies.rglob("*")) == [copies / "api"]
    assert SECRET not in all_said + said
    assert run()[0] == 0
