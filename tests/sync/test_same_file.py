"""Hub and spoke see the same files: a change on either side is at once on the other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.codebuddy_fleet.stale_mounts import stale_mounts

from codebuddy_testing.deployment import PROJECTS, SPOKE_PYTHON, Deployment


class SharedDirectory:
    """A directory of a project, as the hub, the spoke and the host see it."""

    def __init__(self, fleet: Deployment, project: str) -> None:
        self.fleet, self.project = fleet, project
        self.host: Path = fleet.path(project) / "sync-test"

    def inside(self, side: str, name: str = "") -> str:
        root = "/workspace" if side == "spoke" else f"/workspaces/{self.project}"
        return f"{root}/sync-test/{name}"

    def run(self, side: str, script: str, *names: str) -> str:
        """Run a shell script on one side; its arguments are files of the directory."""
        part = "hub" if side == "hub" else self.project
        done = self.fleet.run(part, "sh", "-euc", script, "sh", *(self.inside(side, name) for name in names))
        assert done.code == 0, done.output
        return done.output

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call one of the hub's tools."""
        done = self.fleet.run("hub", "codebuddy", "call", tool, json.dumps(arguments))
        assert done.code == 0, done.output
        result: dict[str, Any] = json.loads(done.output)
        return result

    def workspace_path(self, name: str) -> str:
        return f"{self.project}/sync-test/{name}"


@pytest.fixture(params=sorted(PROJECTS))
def shared(fleet: Deployment, request: pytest.FixtureRequest) -> Iterator[SharedDirectory]:
    sides = SharedDirectory(fleet, request.param)
    sides.run("spoke", 'rm -rf "$1"; mkdir "$1"', "")
    yield sides
    sides.run("spoke", 'rm -rf "$1"', "")


@pytest.fixture(params=["hub", "spoke"])
def writer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def other(side: str) -> str:
    return "hub" if side == "spoke" else "spoke"


def test_a_new_file_is_at_once_the_same_inode_on_both_sides(shared: SharedDirectory, writer: str) -> None:
    shared.run(writer, 'printf "made here" > "$1"', "new.txt")
    assert shared.run(other(writer), 'cat "$1"', "new.txt") == "made here"
    seen = {shared.run(side, 'stat -c %d:%i "$1"', "new.txt").strip() for side in ("hub", "spoke")}
    status = (shared.host / "new.txt").stat()
    assert seen == {f"{status.st_dev}:{status.st_ino}"}


def test_the_directories_of_all_containers_are_those_of_the_host(fleet: Deployment) -> None:
    seen = {f"{fleet.name}-{project}": {"/workspace": str(fleet.path(project))} for project in PROJECTS}
    hub = {f"/workspaces/{project}": str(fleet.path(project)) for project in PROJECTS}
    assert stale_mounts(fleet.engine.api, {f"{fleet.name}-hub": hub, **seen}) == {}
    other = str(fleet.state)
    asked = {f"{fleet.name}-{project}": {"/workspace": other} for project in PROJECTS}
    assert stale_mounts(fleet.engine.api, asked) == {name: [other] for name in asked}


def test_an_edit_in_place_is_seen_by_the_other_side(shared: SharedDirectory, writer: str) -> None:
    shared.run(other(writer), 'printf first > "$1"', "edited.txt")
    shared.run(writer, 'printf " second" >> "$1"', "edited.txt")
    assert shared.run(other(writer), 'cat "$1"', "edited.txt") == "first second"


def test_a_file_that_a_rename_replaced_is_seen_by_the_other_side(shared: SharedDirectory, writer: str) -> None:
    shared.run(other(writer), 'printf old > "$1"', "replaced.txt")
    shared.run(writer, 'printf new > "$2"; mv "$2" "$1"', "replaced.txt", "temporary")
    assert shared.run(other(writer), 'cat "$1"', "replaced.txt") == "new"
    assert len({shared.run(side, 'stat -c %i "$1"', "replaced.txt") for side in ("hub", "spoke")}) == 1


def test_a_rename_is_seen_by_the_other_side(shared: SharedDirectory, writer: str) -> None:
    shared.run(other(writer), 'printf x > "$1"', "before.txt")
    shared.run(writer, 'mv "$1" "$2"', "before.txt", "after.txt")
    assert shared.run(other(writer), 'ls "$1"', "").split() == ["after.txt"]


def test_a_deletion_is_seen_by_the_other_side(shared: SharedDirectory, writer: str) -> None:
    shared.run(other(writer), 'printf x > "$1"', "gone.txt")
    shared.run(writer, 'rm "$1"', "gone.txt")
    assert shared.run(other(writer), 'ls "$1"', "") == ""


def test_both_sides_write_as_the_same_user(shared: SharedDirectory, writer: str) -> None:
    shared.run(writer, 'printf x > "$1"', "owned.txt")
    shared.run(other(writer), 'printf y >> "$1"; chmod 600 "$1"', "owned.txt")
    assert shared.run(writer, 'cat "$1"', "owned.txt") == "xy"


WATCH = """
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
watch = libc.inotify_init1(0)
assert watch >= 0 and libc.inotify_add_watch(watch, sys.argv[1].encode(), 0x188) >= 0, os.strerror(ctypes.get_errno())
print("watching", flush=True)
wanted = sys.argv[2]
while select.select([watch], [], [], 20)[0]:
    data = os.read(watch, 65536)
    while data:
        _, mask, _, size = struct.unpack_from("iIII", data)
        name = data[16 : 16 + size].rstrip(b"\\0").decode()
        data = data[16 + size :]
        if name == wanted:
            print("seen", flush=True)
            sys.exit()
"""


def test_a_write_through_the_hub_raises_an_inotify_event_in_the_spoke(shared: SharedDirectory) -> None:
    """Watches with inotify directly, because language servers and a project's file watchers do."""
    container = f"{shared.fleet.name}-{shared.project}"
    command = ["docker", "exec", container, SPOKE_PYTHON, "-c", WATCH, shared.inside("spoke"), "event.txt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline() == "watching\n"
        shared.call("write_file", path=shared.workspace_path("event.txt"), content="from the hub\n")
        assert watcher.stdout.read() == "seen\n"
    assert shared.run("spoke", 'cat "$1"', "event.txt") == "from the hub\n"


def test_read_file_reads_what_the_spoke_wrote(shared: SharedDirectory) -> None:
    shared.run("spoke", 'printf "from the spoke\\n" > "$1"', "read.txt")
    answer = shared.call("read_file", path=shared.workspace_path("read.txt"))
    assert answer["content"] == "from the spoke\n"


def test_an_edit_through_the_hub_keeps_mode_and_owner(shared: SharedDirectory) -> None:
    shared.run("spoke", 'printf "#!/bin/sh\\necho one\\n" > "$1"; chmod 750 "$1"', "run.sh")
    before = (shared.host / "run.sh").stat()
    edits = [{"old_text": "one", "new_text": "two"}]
    shared.call("edit_file", path=shared.workspace_path("run.sh"), edits=edits)
    after = (shared.host / "run.sh").stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert shared.run("spoke", '"$1"', "run.sh") == "two\n"
