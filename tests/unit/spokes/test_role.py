"""The role as Ansible runs it: on an empty host, and what the most verbose output shows of secrets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SECRET = "what-nobody-is-told"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(run_roles: Run, tmp_path: Path) -> Run:
    """Run the role, after the one that creates the key; return the number of changes, and the output."""
    state = tmp_path / "state"

    def call(*options: str, **secrets: Path) -> tuple[int, str]:
        project = {"id": "api", "secrets": {name: str(path) for name, path in secrets.items()}}
        user = {"uid": os.getuid(), "gid": os.getgid()}
        variables = {
            "hub_private_key": str(state / "keys/signing.key"),
            "hub_public_key": str(state / "hub/keys/signing.pub"),
            "hub_journal_dir": str(state / "hub/journal"),
            "hub_stdio_program": str(state / "codebuddy-stdio.py"),
            "spokes_private_key": str(state / "keys/signing.key"),
            "spokes_tokens_dir": str(state / "tokens"),
            "spokes_secrets_dir": str(state / "secrets"),
            "spokes_projects": [project, {"id": "web", "secrets": {}}],
            **{f"{role}_{name}": number for role in ("hub", "spokes") for name, number in user.items()},
        }
        return run_roles(["hub", "spokes"], variables, *options)

    return call


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(SECRET)
    return path


def test_check_mode_on_an_empty_host_reports_what_would_be_copied_and_creates_nothing(
    run: Run, key: Path, tmp_path: Path
) -> None:
    changed, output = run("--check", "--diff", key=key)
    assert changed == 5  # keys, journal, program for stdio clients, tokens, secrets
    assert "state/secrets/api/key: added" in output
    assert not (tmp_path / "state").exists()


def test_a_secret_is_copied_replaced_and_removed_and_never_shown(run: Run, key: Path, tmp_path: Path) -> None:
    copies = tmp_path / "state/secrets"
    verbose = ("--diff", "-vvv")
    all_output = run(*verbose, key=key)[1]
    assert (copies / "api/key").read_text() == SECRET
    assert not (copies / "web").exists()
    assert run(*verbose, key=key)[0] == 0
    key.write_text(f"another-{SECRET}")
    changed, output = run(*verbose, key=key)
    assert (changed, "state/secrets/api/key: changed" in output) == (1, True)
    all_output += output
    changed, output = run(*verbose)
    assert (changed, "state/secrets/api/key: removed" in output) == (1, True)
    assert list(copies.rglob("*")) == [copies / "api"]
    assert SECRET not in all_output + output
    assert run()[0] == 0
