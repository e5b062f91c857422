"""The module that copies secrets, as Ansible runs it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

MODULE = Path(__file__).parents[3] / "roles/spokes/library/codebuddy_secrets.py"


def run(directory: Path, secrets: dict[str, dict[str, Path]], *, check: bool = False, **more: Any) -> dict[str, Any]:
    projects = [{"id": one, "secrets": {name: str(path) for name, path in its.items()}} for one, its in secrets.items()]
    output = io.StringIO()
    arguments = {"directory": str(directory), "projects": projects, "_ansible_check_mode": check, **more}
    with patch_module_args(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        runpy.run_path(str(MODULE), run_name="__main__")
    result: dict[str, Any] = json.loads(output.getvalue())
    assert "HUSH" not in output.getvalue()
    return result


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(b"HUSH\0\xff\n")
    return path


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "state/secrets"


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_copy_is_exact_and_for_its_owner_alone(kept: Path, key: Path) -> None:
    result = run(kept, {"api": {"key": key}}, owner=str(os.getuid()), group=str(os.getgid()))
    assert result["changed"]
    assert result["written"] == ["api/key"]
    assert files(kept) == {"api/key": key.read_bytes()}
    assert stat.S_IMODE((kept / "api/key").stat().st_mode) == 0o400
    assert {stat.S_IMODE(path.stat().st_mode) for path in (kept, kept / "api")} == {0o700}


def test_a_second_run_changes_nothing_and_a_changed_file_is_replaced_in_the_same_directory(
    kept: Path, key: Path
) -> None:
    run(kept, {"api": {"key": key}})
    directory, file = (path.stat().st_ino for path in (kept / "api", kept / "api/key"))
    assert not run(kept, {"api": {"key": key}})["changed"]
    key.write_bytes(b"HUSH again")
    assert run(kept, {"api": {"key": key}}, check=True)["written"] == ["api/key"]
    assert (kept / "api/key").stat().st_ino == file
    assert run(kept, {"api": {"key": key}})["written"] == ["api/key"]
    assert files(kept) == {"api/key": b"HUSH again"}
    assert (kept / "api").stat().st_ino == directory


def test_what_is_not_declared_goes(kept: Path, key: Path) -> None:
    run(kept, {"api": {"key": key, "other": key}, "web": {"key": key}})
    (kept / "api/.new-abc").write_bytes(b"half")
    told = run(kept, {"api": {"key": key}}, check=True)
    assert told["removed"] == ["api/.new-abc", "api/other", "web"]
    assert len(files(kept)) == 4
    assert run(kept, {"api": {"key": key}})["removed"] == told["removed"]
    assert list(files(kept)) == ["api/key"]
    assert run(kept, {})["removed"] == ["api"]
    assert not list(kept.iterdir())
    assert not run(kept, {})["changed"]


def test_a_changed_mode_is_mended(kept: Path, key: Path) -> None:
    run(kept, {"api": {"key": key}})
    (kept / "api/key").chmod(0o644)
    assert run(kept, {"api": {"key": key}})["written"] == ["api/key"]
    assert stat.S_IMODE((kept / "api/key").stat().st_mode) == 0o400


def test_a_dry_run_makes_nothing(kept: Path, key: Path) -> None:
    assert run(kept, {"api": {"key": key}}, check=True)["written"] == ["api/key"]
    assert not kept.exists()


def test_a_file_that_is_gone_fails_with_its_name_and_nothing_is_written(kept: Path, key: Path, tmp_path: Path) -> None:
    result = run(kept, {"api": {"key": key, "gone": tmp_path / "gone"}})
    assert result["failed"]
    assert str(tmp_path / "gone") in result["msg"]
    assert not kept.exists()
