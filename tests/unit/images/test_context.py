"""The digest of a build context depends on the files' names, contents and executable bits, and on nothing else."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from ansible.module_utils.codebuddy_images.context import File, digest, read_tree, to_tar
from ansible.module_utils.codebuddy_images.sources import Sources, read_recipes

ROOT = Path(__file__).parents[3]


def write(path: Path, content: str = "", *, executable: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755 if executable else 0o644)
    return path


def test_times_owners_and_other_bits_of_the_mode_do_not_count(tmp_path: Path) -> None:
    file = write(tmp_path / "a", "x")
    before = digest(read_tree(tmp_path))
    os.utime(file, (1, 1))
    file.chmod(0o640)
    assert digest(read_tree(tmp_path)) == before


def test_content_name_and_executable_bit_count(tmp_path: Path) -> None:
    trees: list[str] = []
    for name, content, executable in [("a", "x", False), ("a", "y", False), ("b", "x", False), ("a", "x", True)]:
        root = tmp_path / str(len(trees))
        write(root / name, content, executable=executable)
        trees.append(digest(read_tree(root)))
    assert len(set(trees)) == len(trees)


def test_bytes_that_move_from_one_file_to_the_next_change_the_digest() -> None:
    assert digest({"a": File(b"1"), "b": File(b"23")}) != digest({"a": File(b"12"), "b": File(b"3")})
    assert digest({"a": File(b""), "b": File(b"")}) != digest({"a": File(b"b\x000\x000\x00")})


def test_caches_and_compiled_files_are_ignored(tmp_path: Path) -> None:
    write(tmp_path / "a.py")
    clean = digest(read_tree(tmp_path))
    for leaving in ("__pycache__/a.cpython-311.pyc", "b.pyc", ".mypy_cache/x", "codebuddy.egg-info/PKG-INFO", "a.py~"):
        write(tmp_path / leaving, "x")
    assert digest(read_tree(tmp_path)) == clean


def test_a_missing_directory_has_no_certificates(tmp_path: Path) -> None:
    assert read_tree(tmp_path / "none", under="certificates", suffix=".crt") == {}


def test_only_certificates_are_taken_from_the_hosts_folder(tmp_path: Path) -> None:
    write(tmp_path / "corporate/root.crt", "PEM")
    write(tmp_path / "notes.txt")
    assert list(read_tree(tmp_path, under="certificates", suffix=".crt")) == ["certificates/corporate/root.crt"]


def test_equal_contexts_are_packed_into_equal_bytes_with_plain_modes() -> None:
    context = {"run": File(b"#!/bin/sh\n", executable=True), "etc/a": File(b"x")}
    packed = to_tar(context)
    assert packed == to_tar(dict(reversed(context.items())))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert {(one.name, one.mode, one.uid) for one in archive} == {("run", 0o755, 0), ("etc/a", 0o644, 0)}


def sources(**changed: Path) -> Sources:
    directories = {
        "base": ROOT / "roles/images/files/base",
        "runtime": ROOT / "roles/images/files/runtime",
        "hub": ROOT / "roles/hub/files/image",
        "spoke": ROOT / "roles/spokes/files/spoke",
        "proxy": ROOT / "roles/spokes/files/proxy",
        "toolchains": ROOT / "roles/spokes/files/toolchains",
        "hub_source": ROOT / "hub",
        "certificates": ROOT / "none",
    }
    return Sources(**{**directories, **changed})


def test_the_recipes_of_this_repository_are_complete() -> None:
    recipes = read_recipes(sources())
    assert {"typescript", "python", "rust", "go", "cpp"} == set(recipes.toolchains)
    for context in (recipes.base, recipes.runtime, recipes.hub, recipes.spoke, *recipes.toolchains.values()):
        assert b"\nARG PARENT\nFROM ${PARENT}\n" in context["Dockerfile"].content
    assert "src/codebuddy/__init__.py" in recipes.hub
    assert "src/codebuddy/__init__.py" in recipes.spoke
    assert "requirements.txt" in recipes.runtime


def test_no_recipe_names_a_registry() -> None:
    for recipe in [ROOT / "roles/images/files", ROOT / "roles/hub/files", ROOT / "roles/spokes/files", ROOT / "hub"]:
        for path, file in read_tree(recipe).items():
            assert b'"resolved"' not in file.content, path
            assert b"--index-url" not in file.content, path


@pytest.mark.parametrize("name", ["base", "runtime", "hub", "spoke", "proxy"])
def test_a_missing_recipe_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        read_recipes(sources(**{name: tmp_path}))
    assert raised.value.filename == str(tmp_path / "Dockerfile")


def test_an_empty_program_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no program"):
        read_recipes(sources(hub_source=tmp_path))
