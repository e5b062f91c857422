"""The environment that pip installs into: made at once, kept as it is, made anew where its Python is another one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from codebuddy_testing.programs import load_program

PROGRAM = Path(__file__).parents[3] / "roles/spokes/files/toolchains/python/prepare-home"

pytestmark = pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="the distribution's Python is needed")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, for an environment and links in a temporary directory, with a package of this interpreter."""
    module = load_program(PROGRAM)
    monkeypatch.setattr(module, "ENVIRONMENT", tmp_path / "environment")
    monkeypatch.setattr(module, "LINKS", tmp_path / "links")
    monkeypatch.setattr(module, "TOOLS", ("pytest",))
    module.main(["--link"])
    return module


def imported(home: ModuleType, name: str) -> str:
    command = [home.ENVIRONMENT / "bin/python", "-c", f"import {name}; print({name}.__file__)"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_images_tools_are_imported_and_called_after_what_is_installed(home: ModuleType) -> None:
    home.main([])
    assert imported(home, "pytest").startswith(str(home.LINKS))
    assert (home.ENVIRONMENT / "bin/pytest").read_text().startswith(f"#!{home.ENVIRONMENT}/bin/python\n")
    packages = home.packages_of(home.ENVIRONMENT)
    (packages / "pytest.py").touch()
    assert imported(home, "pytest") == str(packages / "pytest.py")


def test_what_is_installed_stays(home: ModuleType) -> None:
    home.main([])
    packages = home.packages_of(home.ENVIRONMENT)
    (packages / "kept.py").touch()
    (home.ENVIRONMENT / "bin/pytest").write_text("own")
    home.main([])
    assert (packages / "kept.py").exists()
    assert (home.ENVIRONMENT / "bin/pytest").read_text() == "own"


@pytest.mark.parametrize("broken", ["another Python", "Python is gone", "interrupted"])
def test_an_environment_that_does_not_work_is_made_anew(home: ModuleType, broken: str) -> None:
    home.main([])
    packages = home.packages_of(home.ENVIRONMENT)
    if broken == "another Python":
        packages.parent.rename(packages.parents[1] / "python3.0")
    elif broken == "Python is gone":
        (home.ENVIRONMENT / "bin/python").unlink()
        (home.ENVIRONMENT / "bin/python").symlink_to("/nonexistent")
    else:
        (packages / "image.pth").unlink()
        (home.ENVIRONMENT / "bin/pytest").unlink()
    home.main([])
    assert imported(home, "pytest").startswith(str(home.LINKS))
    assert (home.ENVIRONMENT / "bin/pytest").exists()
    assert not (packages.parents[1] / "python3.0").exists()


def test_of_the_image_only_what_its_tools_need_is_linked(home: ModuleType) -> None:
    names = {path.name.split("-")[0] for path in home.LINKS.iterdir()}
    assert {"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"} <= names
    assert names.isdisjoint({"platformdirs", "ansible", "pip"})  # platformdirs brings a plugin of pytest
