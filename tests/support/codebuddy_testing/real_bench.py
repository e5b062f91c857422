"""A project that others wrote, in the deployed fleet and beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from codebuddy_testing.deployment import Deployment
from codebuddy_testing.real_projects import PROJECTS, RealProject

TABLE: Final = pytest.StashKey[dict[str, list[str]]]()
"""What was counted, by project: through the hub, and by hand."""

SECONDS: Final = 1800
"""The longest that an installation or the tests of a project may take."""


class Bench:
    """One project in the fleet, and a copy of it for a plain container of the same image."""

    def __init__(self, fleet: Deployment, name: str) -> None:
        self.fleet = fleet
        self.name = name
        self.project: RealProject = PROJECTS[name]
        configuration = fleet.container(name).attrs["Config"]
        self.image: str = configuration["Image"]
        self.user: str = configuration["User"]
        self.directory = fleet.path(name)
        self.copy = fleet.directory / "by-hand" / name
        self.downloads = fleet.directory / "downloads"

    def run_plain(self, command: str, mounts: dict[Path, str], user: str, where: str) -> str:
        """Run a shell command in a plain container with network, and return what it printed."""
        options = [option for path, target in mounts.items() for option in ("--volume", f"{path}:{target}")]
        options += ["--user", user, "--workdir", where, "--env", "HOME=/home/codebuddy"]
        argv = ["docker", "run", "--rm", "--init", *options, self.image, "sh", "-c", command]
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False
        )
        return done.stdout

    def fill(self) -> None:
        """Put the sources into the project's directory, and a copy of them beside it, unless they are there."""
        if (self.copy / "filled").exists():
            return
        self.downloads.mkdir(exist_ok=True)
        archive = self.project.archive
        if archive is not None and not (self.downloads / archive.file).exists():
            printed = self.run_plain(archive.get, {self.downloads: "/downloads"}, "0", "/downloads")
            assert (self.downloads / archive.file).exists(), printed[-2000:]
        shutil.rmtree(self.copy, ignore_errors=True)
        workspace, home = self.copy / "workspace", self.copy / "home"
        workspace.mkdir(parents=True)
        home.mkdir()
        if archive is not None:
            archive.unpack(self.downloads, workspace)
        owner = self.user
        mounts = {workspace: "/workspace", home: "/home/codebuddy"}
        prepared = f"set -e\n{self.project.prepare}\nchown -R {owner} /workspace /home/codebuddy\necho prepared"
        printed = self.run_plain(prepared, mounts, "0", "/workspace")
        assert printed.endswith("prepared\n"), printed[-2000:]
        for sample in self.directory.iterdir():
            shutil.rmtree(sample) if sample.is_dir() else sample.unlink()
        subprocess.run(["cp", "--archive", f"{workspace}/.", str(self.directory)], check=True)
        (self.copy / "filled").touch()

    def by_hand(self) -> str:
        """Install and test as a person would, and return what was printed."""
        mounts = {self.copy / "workspace": "/workspace", self.copy / "home": "/home/codebuddy"}
        return self.run_plain(self.project.by_hand, mounts, self.user, "/workspace")
