"""The users of a spoke's system, and git's configuration, as the programs read them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet import parsers
from ansible.module_utils.codebuddy_fleet.plan import Plan
from ansible.module_utils.codebuddy_fleet.system_files import gitconfig, group, passwd

PlanOf = Callable[[dict[str, Any]], Plan]


@pytest.mark.parametrize("number", [1, 33, 1000, 4242, 65534, 2**31 - 1])
def test_the_spokes_user_is_the_first_entry_with_its_number(number: int) -> None:
    users = [line.split(":") for line in passwd("codebuddy", number, number, "/home/codebuddy").splitlines()]
    assert all(len(user) == 7 for user in users)
    own = next(user for user in users if user[2] == str(number))
    assert own == ["codebuddy", "x", str(number), str(number), "codebuddy", "/home/codebuddy", "/bin/bash"]
    groups = [line.split(":") for line in group("codebuddy", number).splitlines()]
    assert all(len(one) == 4 for one in groups)
    assert next(one[0] for one in groups if one[2] == str(number)) == "codebuddy"
    assert next(one[0] for one in groups if one[2] == "0") == next(one[0] for one in users if one[2] == "0") == "root"
    assert len({user[0] for user in users}) == len(users)


def test_spokes_mount_the_users_read_only_and_a_changed_user_recreates_them(
    declared: dict[str, Any], plan_of: PlanOf
) -> None:
    plan = plan_of(declared)
    state_dir = declared["fleet"]["state_dir"]
    for name in ("passwd", "group"):
        mount = {"type": "bind", "source": f"{state_dir}/config/{name}", "read_only": True}
        assert plan.containers["unitfleet-api"].mounts[f"/etc/{name}"] == mount
        assert plan.files[mount["source"]].mode == "0644"
        assert mount["source"] in plan.containers["unitfleet-api"].files


def test_a_projects_author_precedes_the_fleets_and_changes_no_container(
    declared: dict[str, Any], plan_of: PlanOf
) -> None:
    before = plan_of(declared)
    declared["fleet"]["git_author"] = "Ada Lovelace <ada@example.org>"
    declared["projects"][0]["git_author"] = "Bo <bo@example.org>"
    plan = plan_of(declared)
    config = {name: plan.files[f"{declared['fleet']['state_dir']}/config/{name}/gitconfig"] for name in ("api", "web")}
    assert '"bo@example.org"' in config["api"].content
    assert '"Ada Lovelace"' in config["web"].content
    assert plan.containers == before.containers


def read(configuration: Path, *arguments: str, cwd: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_SYSTEM": str(configuration)}
    done = subprocess.run(["git", *arguments], cwd=cwd, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize("name", ["Ada Lovelace", 'A "B" C', "back\\slash", "# no; comment", "Ünïcode"])
def test_git_reads_the_author_and_a_repositorys_own_wins(tmp_path: Path, name: str) -> None:
    configuration = tmp_path / "gitconfig"
    configuration.write_text(gitconfig(f"{name} <ada@example.org>"))
    repository = tmp_path / "repository"
    repository.mkdir()
    read(configuration, "init", "--quiet", cwd=repository)
    read(configuration, "commit", "--quiet", "--allow-empty", "--message", "first", cwd=repository)
    assert read(configuration, "log", "--format=%an <%ae> %cn", cwd=repository) == f"{name} <ada@example.org> {name}\n"
    read(configuration, "config", "user.name", "Own", cwd=repository)
    read(configuration, "config", "user.email", "own@example.org", cwd=repository)
    read(configuration, "commit", "--quiet", "--allow-empty", "--message", "second", cwd=repository)
    assert read(configuration, "log", "-1", "--format=%an <%ae>", cwd=repository) == "Own <own@example.org>\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to others")
def test_git_works_in_a_repository_of_another_user_and_keeps_its_worktrees(tmp_path: Path) -> None:
    configuration = tmp_path / "gitconfig"
    configuration.write_text(gitconfig(""))
    repository, worktree = tmp_path / "repository", tmp_path / "worktree"
    repository.mkdir()
    read(configuration, "init", "--quiet", cwd=repository)
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    read(configuration, *identity, "commit", "--quiet", "--allow-empty", "--message", "first", cwd=repository)
    read(configuration, "worktree", "add", "--quiet", str(worktree), cwd=repository)
    worktree.rename(tmp_path / "not-seen-by-the-spoke")
    for path in (repository / ".git/worktrees/worktree").iterdir():
        os.utime(path, (1e9, 1e9))
    os.chown(repository, 4242, 4242)
    assert read(configuration, "status", "--short", cwd=repository) == ""
    read(configuration, "gc", "--quiet", cwd=repository)
    assert (repository / ".git/worktrees/worktree").is_dir()


def test_an_author_is_parsed_or_refused_with_an_example() -> None:
    assert parsers.git_author(" Ada Lovelace <ada@example.org>\n") == "Ada Lovelace <ada@example.org>"
    assert parsers.git_author("") == parsers.git_author(None) == ""
    for wrong in ("Ada", "<ada@example.org>", "Ada <>", "A\nB <a@example.org>", "A <a@example.org> 5", 5, True, ["A"]):
        with pytest.raises(ValueError, match="write it like Ada Lovelace"):
            parsers.git_author(wrong)
