"""Files on the host are written atomically, for the containers' user only; generations are kept and numbered."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import codebuddy_files
from ansible.module_utils.codebuddy_fleet.files import read_files, remove_file, write_file
from ansible.module_utils.codebuddy_fleet.generations import KEEP, Generations
from ansible.module_utils.codebuddy_fleet.plan import File, Plan

PlanOf = Callable[[dict[str, Any]], Plan]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def config(state: Path) -> File:
    path = state / "config/api/config.json"
    return File(path=str(path), content="{}\n", mode="0640", uid=os.getuid(), gid=os.getgid())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_what_is_written_is_what_is_read(state: Path, config: File) -> None:
    write_file(state, config)
    assert read_files(state) == {config.path: config}
    assert mode(state) == 0o700
    assert mode(Path(config.path).parent) == 0o750


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_belongs_to_the_user_of_the_containers(state: Path, config: File) -> None:
    given = File(path=config.path, content="{}\n", mode="0640", uid=4242, gid=4243)
    write_file(state, given)
    for path in (Path(given.path), Path(given.path).parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (4242, 4243)


def test_content_mode_and_links_changed_by_hand_are_found_and_repaired(state: Path, config: File) -> None:
    write_file(state, config)
    path = Path(config.path)
    path.chmod(0o666)
    assert read_files(state)[config.path].mode == "0666"
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert read_files(state)[config.path] != config
    write_file(state, config)
    assert read_files(state) == {config.path: config}
    assert not path.is_symlink()


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    codebuddy_files.write_atomically(path, b"old", lambda _: None)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(codebuddy_files.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        codebuddy_files.write_atomically(path, b"new", lambda _: None)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_removing_the_last_file_removes_its_directory(state: Path, config: File) -> None:
    write_file(state, config)
    remove_file(Path(config.path))
    assert list((state / "config").iterdir()) == []


@pytest.fixture
def generations(state: Path) -> Generations:
    state.mkdir()
    return Generations(state, now=lambda: datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_a_plan_is_kept_once_and_read_back(
    generations: Generations, state: Path, declared: dict[str, Any], plan_of: PlanOf
) -> None:
    plan = plan_of(declared)
    assert not generations.holds(plan)
    assert generations.keep(plan) == 1
    assert generations.holds(plan)
    assert Plan.from_dict(generations.plan(1)) == plan
    assert mode(state / "generations/0001.json") == 0o600
    declared["projects"].pop()
    assert not generations.holds(plan_of(declared))
    assert generations.keep(plan_of(declared)) == 2
    assert generations.plan(1) != generations.plan(2)


def test_only_the_last_generations_are_kept_and_numbers_continue(generations: Generations) -> None:
    for _ in range(KEEP + 5):
        generations.keep(Plan(fleet="unitfleet"))
    assert generations.numbers() == list(range(6, KEEP + 6))
    assert generations.next() == KEEP + 6


def test_a_damaged_generation_counts_as_a_different_plan(generations: Generations, state: Path) -> None:
    generations.keep(Plan(fleet="unitfleet"))
    (state / "generations/0001.json").write_text("{")
    assert not generations.holds(Plan(fleet="unitfleet"))
    assert generations.keep(Plan(fleet="unitfleet")) == 2
