"""The role as Ansible runs it: on an empty host, again without a change, and after the journal's mode was changed."""

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


def test_only_the_hubs_user_can_enter_the_journal_and_its_content_is_kept(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "state/hub/journal"
    assert run() == 3
    status = journal.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (os.getuid(), os.getgid(), 0o700)
    (journal / "edit").write_text("old content")
    assert run() == 0
    journal.chmod(0o755)
    assert run() == 1
    assert stat.S_IMODE(journal.stat().st_mode) == 0o700
    assert (journal / "edit").read_text() == "old content"


def test_the_program_for_stdio_is_installed_and_an_older_one_replaced(run: Run, tmp_path: Path) -> None:
    program = tmp_path / "state/codebuddy-stdio.py"
    run()
    installed = program.read_text()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    program.write_text("# an older one\n")
    assert run("--check") == 1
    assert run() == 1
    assert program.read_text() == installed
    assert run() == 0
