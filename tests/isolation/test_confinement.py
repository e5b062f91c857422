"""Attacks on the confinement of a spoke: files, processes, privileges and limits."""

from __future__ import annotations

import pytest

from codebuddy_testing.deployment import PROJECTS, Deployment

each_project = pytest.mark.parametrize("project", sorted(PROJECTS))

WRITE = """
import pathlib, sys
for directory in sys.argv[1:]:
    probe = pathlib.Path(directory, ".isolation-probe")
    try:
        probe.touch()
    except OSError:
        continue
    probe.unlink()
    print(directory)
"""


@each_project
def test_a_spoke_sees_its_own_files(fleet: Deployment, project: str) -> None:
    listed = fleet.run(project, "ls", "-A", "/workspace").output.split()
    assert sorted(listed) == sorted(entry.name for entry in fleet.path(project).iterdir())


@each_project
def test_a_spoke_has_no_file_of_another_project(fleet: Deployment, project: str) -> None:
    for other in fleet.projects:
        if other != project:
            marker = fleet.path(other) / "marker-of-isolation"
            marker.write_text("")
            try:
                found = fleet.run(project, "find", "/", "-xdev", "-name", marker.name).output
                found += fleet.run(project, "find", "/workspace", "/home", "-name", marker.name).output
            finally:
                marker.unlink()
            assert marker.name not in found
            assert fleet.run(project, "ls", str(fleet.path(other))).code != 0
    assert fleet.run(project, "sh", "-c", "ls -A /workspaces 2>/dev/null").output == ""


@each_project
def test_a_link_to_another_project_leads_nowhere(fleet: Deployment, project: str) -> None:
    other = next(one for one in fleet.projects if one != project)
    link = fleet.path(project) / "link-of-isolation"
    link.symlink_to(fleet.path(other))
    try:
        assert fleet.run(project, "ls", "/workspace/link-of-isolation/").code != 0
    finally:
        link.unlink()


@each_project
def test_a_spoke_can_write_only_in_workspace_home_and_temporary_directories(fleet: Deployment, project: str) -> None:
    refused = ("/", "/etc", "/usr/local/bin", "/opt/codebuddy", "/etc/codebuddy", "/var/tmp")
    secrets = ("/run/secrets/codebuddy", "/run/secrets/project")
    assert fleet.python(project, WRITE, *refused, *secrets).output == ""
    allowed = ("/workspace", "/home/codebuddy", "/tmp", "/run")
    done = fleet.python(project, WRITE, *allowed)
    assert done.output.split() == list(allowed), done


@each_project
def test_a_spoke_runs_without_root_and_cannot_gain_privileges(fleet: Deployment, project: str) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in fleet.run(project, "cat", "/proc/self/status").output.splitlines()
        if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


@each_project
def test_a_new_file_belongs_to_the_projects_owner(fleet: Deployment, project: str) -> None:
    assert fleet.run(project, "touch", "/workspace/owner-of-isolation").code == 0
    created = fleet.path(project) / "owner-of-isolation"
    try:
        assert created.stat().st_uid == fleet.path(project).stat().st_uid != 0
    finally:
        created.unlink()


@each_project
def test_a_spoke_sees_only_its_own_processes(fleet: Deployment, project: str) -> None:
    commands = fleet.run(project, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").output
    assert "codebuddy" in commands
    assert "dockerd" not in commands
    assert "codebuddy serve" not in commands


@each_project
def test_a_spoke_has_no_socket_of_an_engine(fleet: Deployment, project: str) -> None:
    sockets = fleet.run(
        project, "sh", "-c", "find / -xdev -type s 2>/dev/null; find /run /workspace -type s 2>/dev/null"
    ).output.split()
    assert not [path for path in sockets if "docker" in path or "containerd" in path or "podman" in path]
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
        assert fleet.run(project, "test", "-e", path).code != 0


@each_project
def test_the_kernel_enforces_the_declared_limits(fleet: Deployment, project: str) -> None:
    host = fleet.inspected[project]["HostConfig"]
    # The limit is in one of these files, whichever version of control groups is in use.
    for value, files in (
        (host["Memory"], ("memory.max", "memory/memory.limit_in_bytes")),
        (host["PidsLimit"], ("pids.max", "pids/pids.max")),
    ):
        shown = fleet.run(project, "sh", "-c", "; ".join(f"cat /sys/fs/cgroup/{file} 2>/dev/null" for file in files))
        assert str(value) in shown.output.split()


@each_project
def test_a_fork_bomb_stops_at_the_process_limit_and_the_spoke_still_works(fleet: Deployment, project: str) -> None:
    bomb = """
import os, signal, time
children = []
try:
    while True:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    print(len(children))
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""
    done = fleet.python(project, bomb)
    assert done.code == 0, done.output
    assert int(done.output) < fleet.inspected[project]["HostConfig"]["PidsLimit"]
    assert fleet.run(project, "true").code == 0


@each_project
def test_the_token_is_a_file_and_not_in_the_environment(fleet: Deployment, project: str) -> None:
    token = (fleet.state / f"tokens/{project}/token").read_text().strip()
    assert token not in fleet.run(project, "sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'").output
    assert token not in fleet.run(project, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'").output
    assert fleet.run(project, "cat", "/run/secrets/codebuddy/token").output.strip() == token
