"""A project directory beside things that it must not reach, opened in each way that the hub has."""

from __future__ import annotations

from pathlib import Path

import pytest

from codebuddy.files.confinement import Opener, ProjectRoot, open_resolved, open_without_links, openat2_beneath


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The root of the project `p`; beside it lie `p-evil` and a file `secret`."""
    root = tmp_path / "p"
    root.mkdir()
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "p-evil").mkdir()
    (tmp_path / "p-evil" / "secret").write_text("secret\n")
    return root


@pytest.fixture
def root(directory: Path) -> ProjectRoot:
    return ProjectRoot("p", str(directory), openat2_beneath)


@pytest.fixture(params=[openat2_beneath, open_without_links, open_resolved])
def opener(request: pytest.FixtureRequest) -> Opener:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def any_root(directory: Path, opener: Opener) -> ProjectRoot:
    return ProjectRoot("p", str(directory), opener)
