"""The role as Ansible runs it: on an empty host, again without a change, and after what it made was changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., int]


@pytest.fixture
def run(run_roles: Callable[..., tuple[int, str]], tmp_path: Path) -> Run:
    """Run the role with its state below ``tmp_path``; return the number of changes."""
    state = tmp_path / "state"
    variables = {
        "hub_private_key": str(state / "keys/signing.key"),
        "hub_public_key": str(state / "hub/keys/signing.pub"),
        "hub_journal_dir": str(state / "hub/journal"),
        "hub_stdio_program": str(state / "codebuddy-stdio.py"),
        "hub_uid": os.getuid(),
        "hub_gid": os.getgid(),
    }
    return lambda *options: run_roles(["hub"], variables, *options)[0]


def test_check_mode_on_an_empty_host_creates_nothing(run: Run, tmp_path: Path) -> None:
    assert run("--check") == 3
    assert not (tmp_path / "state").exists()


def test_what_was_changed_is_repaired_and_the_journal_kept(run: Run, tmp_path: Path) -> None:
    """Only the hub's user can enter the journal; the program for clients over stdio is that of this version."""
    journal, program = tmp_path / "state/hub/journal", tmp_path / "state/codebuddy-stdio.py"
    assert run() == 3
    status, installed = journal.stat(), program.read_text()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (os.getuid(), os.getgid(), 0o700)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    (journal / "edit").write_text("old content")
    assert run() == 0
    journal.chmod(0o755)
    program.write_text("# an older one\n")
    assert run() == 2
    assert stat.S_IMODE(journal.stat().st_mode) == 0o700
    assert (journal / "edit").read_text() == "old content"
    assert program.read_text() == installed
