"""Missing directories are created with a sample, empty ones get one if that is declared, all others are left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.module_utils.codebuddy_directories import Owner, apply, plan

SAMPLES = Path(__file__).parents[3] / "roles/projects/files/samples"
ME = Owner(os.getuid(), os.getgid())


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    root = tmp_path / "sample"
    (root / "src").mkdir(parents=True)
    (root / "src/main.ts").write_text("main")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "node_modules").mkdir()
    (root / "node_modules/left").write_text("over")
    return root


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


FILLED = {"run": "#!/bin/sh\n", "src/main.ts": "main"}


def test_a_missing_directory_is_created_with_its_parents_and_filled(tmp_path: Path, sample: Path) -> None:
    project = tmp_path / "my-projects/app"
    work = plan(project, sample)
    assert not project.parent.exists(), "planning changes nothing"
    assert list(work.lines()) == [f"{tmp_path}/my-projects/", f"{project}/", f"{project}/run", f"{project}/src/main.ts"]
    apply(work, ME)
    assert contents(project) == FILLED
    assert (project / "run").stat().st_mode & 0o777 == 0o755
    assert (project / "src/main.ts").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("wanted", [None, False])
def test_an_empty_directory_that_exists_gets_no_sample(wanted: bool | None, tmp_path: Path, sample: Path) -> None:
    (tmp_path / "app").mkdir()
    assert not plan(tmp_path / "app", sample, wanted), "it may be a mount point of what is not mounted"


def test_a_project_that_wants_no_sample_gets_none(tmp_path: Path, sample: Path) -> None:
    apply(plan(tmp_path / "app", sample, wanted=False), ME)
    assert contents(tmp_path / "app") == {}
    assert (tmp_path / "app").is_dir()


def test_an_empty_directory_is_filled_if_that_is_declared_and_stays_the_same(tmp_path: Path, sample: Path) -> None:
    project = tmp_path / "app"
    project.mkdir()
    inode = project.stat().st_ino
    apply(plan(project, sample, wanted=True), ME)
    assert contents(project) == FILLED
    assert project.stat().st_ino == inode, "a mount of it must not go stale"


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path, sample: Path) -> None:
    apply(plan(tmp_path / "app", sample), ME)
    assert not plan(tmp_path / "app", sample)


@pytest.mark.parametrize("name", [".git", "README.md"])
def test_a_directory_that_is_not_empty_is_never_touched(name: str, tmp_path: Path, sample: Path) -> None:
    project = tmp_path / "app"
    project.mkdir()
    (project / name).write_text("mine")
    assert not plan(project, sample, wanted=True)


def test_without_a_sample_of_its_profile_the_directory_is_created_empty(tmp_path: Path) -> None:
    apply(plan(tmp_path / "app", tmp_path / "none"), ME)
    assert contents(tmp_path / "app") == {}
    assert not plan(tmp_path / "app", tmp_path / "none")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_only_what_is_created_is_given_to_the_owner(tmp_path: Path, sample: Path) -> None:
    project = tmp_path / "my-projects/app"
    apply(plan(project, sample), Owner(4242, 4243))
    created = [project.parent, project, *project.rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in created} == {(4242, 4243)}
    assert tmp_path.stat().st_uid == 0


def test_modes_do_not_depend_on_the_umask(tmp_path: Path, sample: Path) -> None:
    before = os.umask(0o077)
    try:
        apply(plan(tmp_path / "app", sample), ME)
    finally:
        os.umask(before)
    assert (tmp_path / "app").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "app/src").stat().st_mode & 0o777 == 0o755


def test_a_link_that_appears_in_the_meantime_is_not_followed(tmp_path: Path, sample: Path) -> None:
    project, outside = tmp_path / "app", tmp_path / "outside"
    project.mkdir()
    outside.mkdir()
    work = plan(project, sample, wanted=True)
    (project / "src").symlink_to(outside)
    with pytest.raises(FileExistsError):
        apply(work, ME)
    assert contents(outside) == {}


def test_a_file_that_appears_in_the_meantime_is_not_replaced(tmp_path: Path, sample: Path) -> None:
    project = tmp_path / "app"
    project.mkdir()
    work = plan(project, sample, wanted=True)
    (project / "run").write_text("mine")
    with pytest.raises(FileExistsError):
        apply(work, ME)
    assert (project / "run").read_text() == "mine"


@pytest.mark.parametrize("path", ["file", "file/app"])
def test_a_path_that_is_or_crosses_a_file_is_refused(path: str, tmp_path: Path, sample: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        plan(tmp_path / path, sample)


@pytest.mark.parametrize("profile", ["typescript", "python", "rust", "go", "cpp"])
def test_each_profile_has_a_sample_whose_process_data_is_used_across_files(profile: str) -> None:
    files = [
        path for path in (SAMPLES / profile).rglob("*") if path.suffix in (".ts", ".py", ".rs", ".go", ".cpp", ".hpp")
    ]
    users = [path for path in files if "processdata" in path.read_text().lower().replace("_", "")]
    assert len(users) >= 3
    assert (SAMPLES / profile / "README.md").is_file()
    assert (SAMPLES / profile / ".gitignore").is_file()
