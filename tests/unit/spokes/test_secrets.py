"""The module that copies secrets, as Ansible runs it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import stat
from collections.abc import Callable
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


def reported(result: dict[str, Any]) -> dict[str, str]:
    """The change of each secret, which is also in the diff."""
    changes = {f"{one['project']}/{one['name']}": one["change"] for one in result["secrets"]}
    assert result["changed"] == bool(changes)
    shown = dict(line.rsplit(": ", 1) for line in result["diff"]["after"].splitlines())
    assert {"/".join(path.split("/")[-2:]): change for path, change in shown.items()} == changes
    return changes


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_copy_is_exact_and_only_its_owner_can_read_it(kept: Path, key: Path) -> None:
    result = run(kept, {"api": {"key": key}}, owner=str(os.getuid()), group=str(os.getgid()))
    assert reported(result) == {"api/key": "added"}
    assert files(kept) == {"api/key": key.read_bytes()}
    assert stat.S_IMODE((kept / "api/key").stat().st_mode) == 0o400
    assert {stat.S_IMODE(path.stat().st_mode) for path in (kept, kept / "api")} == {0o700}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_copies_and_directories_belong_to_the_spokes_user(kept: Path, key: Path) -> None:
    run(kept, {"api": {"key": key}}, owner="4242", group="4243")
    for path in (kept / "api", kept / "api/key"):
        assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4243)


def test_a_second_run_changes_nothing_and_a_changed_file_is_replaced_in_the_same_directory(
    kept: Path, key: Path
) -> None:
    run(kept, {"api": {"key": key}})
    directory, file = (path.stat().st_ino for path in (kept / "api", kept / "api/key"))
    assert reported(run(kept, {"api": {"key": key}})) == {}
    key.write_bytes(b"HUSH again")
    assert reported(run(kept, {"api": {"key": key}}, check=True)) == {"api/key": "changed"}
    assert (kept / "api/key").stat().st_ino == file
    assert reported(run(kept, {"api": {"key": key}})) == {"api/key": "changed"}
    assert files(kept) == {"api/key": b"HUSH again"}
    assert (kept / "api").stat().st_ino == directory


def test_copies_that_are_not_declared_are_removed_but_their_directory_stays_for_the_spoke_that_mounts_it(
    kept: Path, key: Path
) -> None:
    run(kept, {"api": {"key": key, "other": key}, "web": {"key": key}})
    directory = (kept / "web").stat().st_ino
    (kept / "api/.new-abc").write_bytes(b"half")
    expected = dict.fromkeys(("api/.new-abc", "api/other", "web/key"), "removed")
    assert reported(run(kept, {"api": {"key": key}}, check=True)) == expected
    assert len(files(kept)) == 4
    assert reported(run(kept, {"api": {"key": key}})) == expected
    assert list(files(kept)) == ["api/key"]
    assert (kept / "web").stat().st_ino == directory
    assert reported(run(kept, {})) == {"api/key": "removed"}
    assert files(kept) == {}
    assert reported(run(kept, {})) == {}


def test_everything_but_regular_files_is_removed_and_the_targets_of_links_stay(
    kept: Path, key: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    (kept / "api").mkdir(0o700, parents=True)
    (kept / "api/directory").mkdir()
    (kept / "api/link").symlink_to(outside)
    (kept / "api/key").symlink_to(key)
    expected = {"api/directory": "removed", "api/link": "removed", "api/key": "added"}
    assert reported(run(kept, {"api": {"key": key}})) == expected
    assert (outside / "mine").read_text() == "mine"
    assert not (kept / "api/key").is_symlink()
    assert files(kept) == {"api/key": key.read_bytes()} == {"api/key": b"HUSH\0\xff\n"}


@pytest.mark.parametrize("name", ["key", ""])
def test_a_changed_mode_is_restored(kept: Path, key: Path, name: str) -> None:
    run(kept, {"api": {"key": key}})
    (kept / "api" / name).chmod(0o755)
    assert reported(run(kept, {"api": {"key": key}}, check=True)) == {f"api/{name}": "owner or mode changed"}
    assert reported(run(kept, {"api": {"key": key}})) == {f"api/{name}": "owner or mode changed"}
    assert stat.S_IMODE((kept / "api/key").stat().st_mode) == 0o400
    assert stat.S_IMODE((kept / "api").stat().st_mode) == 0o700


def test_check_mode_creates_nothing(kept: Path, key: Path) -> None:
    assert reported(run(kept, {"api": {"key": key}}, check=True)) == {"api/key": "added"}
    assert not kept.exists()


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, os.mkfifo])
def test_a_file_that_cannot_be_read_fails_with_a_sentence_and_nothing_is_written(
    kept: Path, key: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "other")
    result = run(kept, {"api": {"key": key, "other": tmp_path / "other"}})
    assert result["failed"]
    assert result["msg"].startswith(f"host api: the secret other, {tmp_path}/other, ")
    assert result["msg"].endswith(".")
    assert not kept.exists()


@pytest.mark.parametrize("declared", [True, False])
def test_a_link_in_place_of_a_directory_is_refused_and_its_target_stays(
    kept: Path, key: Path, tmp_path: Path, declared: bool
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    kept.mkdir(parents=True)
    (kept / "api").symlink_to(outside)
    assert run(kept, {"api": {"key": key}} if declared else {})["msg"].startswith(f"{kept}/api cannot be changed")
    assert files(outside) == {"mine": b"mine"}


def test_a_file_in_place_of_a_directory_fails_with_its_name(kept: Path, key: Path) -> None:
    kept.mkdir(parents=True)
    (kept / "api").write_text("")
    result = run(kept, {"api": {"key": key}})
    assert result["msg"].startswith(f"{kept}/api cannot be changed (Not a directory): deploy as a user")
