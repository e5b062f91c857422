"""Only regular files of the project are read, and never by way of a link that leads out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codebuddy.agent.lsp.tree import Tree, uri_of
from codebuddy.files import confinement
from codebuddy.files.text import MAX_FILE_BYTES
from codebuddy.tool import ToolError


@pytest.mark.parametrize("path", ["p/../x", "p/a/../../x", "q/a", "", "/etc/passwd", "p/\0", "../p/a", "p/.."])
def test_a_path_out_of_the_project_is_refused(root: Path, path: str) -> None:
    with pytest.raises(ToolError) as refused:
        Tree("p", root).locate(path)
    assert refused.value.code == "outside_project"


@pytest.mark.parametrize("name", ["a b", "ü", "a#b", "a?b", "100%", "漢/👋.py", "..foo", "a\nb"])
def test_a_uri_leads_back_to_its_file(root: Path, name: str) -> None:
    path = root.resolve() / name
    assert Tree("p", root).path_of(uri_of(path)) == path


def test_a_name_that_is_no_utf_8_has_a_uri_too(root: Path) -> None:
    path = root.resolve() / os.fsdecode(b"\xff.py")
    tree = Tree("p", root)
    assert tree.path_of(uri_of(path)) == path
    assert tree.show(path) == r"p/\xff.py"
    assert tree.locate(tree.show(path)) == path


@pytest.mark.parametrize(
    "name", [b"\xff.py", b"a\\x41.py", b"a\\xff.py", b"a\\x5c.py", "ü\u2028.py".encode(), b"d\xfe/\xff.py"]
)
def test_a_workspace_path_leads_back_to_its_file_whatever_the_bytes_of_its_name(root: Path, name: bytes) -> None:
    tree = Tree("p", root)
    path = tree.root / os.fsdecode(name)
    assert tree.locate(tree.show(path)) == path
    assert tree.show(path).encode()


def test_a_path_that_is_no_text_is_refused(root: Path) -> None:
    with pytest.raises(ToolError) as refused:
        Tree("p", root).locate("p/\ud800")
    assert refused.value.code == "invalid_path"


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "http://x/y",
        "file://host/x",
        "bundled:///lib.d.ts",
        "file://[x",
        "",
        "file:",
        "x\0",
        "file:///\ud800",
    ],
)
def test_a_uri_of_anything_else_is_not_in_the_project(root: Path, uri: str) -> None:
    assert Tree("p", root).path_of(uri) is None


@pytest.mark.parametrize("more", ["#0", "?x", "#", "?", "\n", "\t"])
def test_a_uri_of_something_in_a_file_is_not_the_file(root: Path, more: str) -> None:
    assert Tree("p", root).path_of(uri_of(root.resolve() / "x.ipynb") + more) is None


@pytest.mark.parametrize("scheme", ["untitled", "deno", "jdt", "vscode-notebook-cell", "zipfile"])
def test_a_uri_of_another_scheme_is_not_a_file_nor_a_cell(root: Path, scheme: str) -> None:
    uri = f"{scheme}://{root.resolve()}/x.ipynb"
    assert (Tree("p", root).path_of(uri), Tree("p", root).cell_of(f"{uri}#0")) == (None, None)


def test_a_uri_with_a_number_names_a_cell_of_a_notebook(root: Path) -> None:
    tree, path = Tree("p", root), root.resolve() / "a #1.ipynb"
    assert tree.cell_of(uri_of(path) + "#12") == (path, 12)
    assert [tree.cell_of(uri) for uri in (uri_of(path), uri_of(path) + "#x", uri_of(root / "a.py") + "#1")] == [
        None
    ] * 3


def test_dots_in_a_uri_do_not_lead_out(root: Path) -> None:
    assert Tree("p", root).path_of(uri_of(root.resolve()) + "/../outside") is None


@pytest.fixture(params=[True, False], ids=["openat2", "no openat2"])
def any_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "openat2_works", lambda: request.param)


@pytest.mark.usefixtures("any_kernel")
def test_a_link_out_of_the_project_is_not_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "link.py").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    for name in ("link.py", "folder/secret"):
        with pytest.raises(ToolError) as refused:
            Tree("p", root).read(root.resolve() / name)
        assert refused.value.code == "outside_project"


@pytest.mark.usefixtures("any_kernel")
@pytest.mark.parametrize("target", ["shop.py", "{root}/shop.py", "../{root.name}/shop.py"])
def test_a_link_inside_the_project_is_read(root: Path, target: str) -> None:
    (root / "link.py").symlink_to(target.format(root=root.resolve()))
    data, _ = Tree("p", root).read(root.resolve() / "link.py")
    assert data == (root / "shop.py").read_bytes()


def test_a_directory_that_was_replaced_is_read_anew(root: Path) -> None:
    tree = Tree("p", root)
    tree.read(tree.root / "shop.py")
    root.rename(root.with_name("old"))
    with pytest.raises(ToolError) as refused:
        tree.read(tree.root / "shop.py")
    assert refused.value.code == "not_found"
    assert list(tree.files(lambda _: True)) == []
    root.mkdir()
    (root / "shop.py").write_text("new")
    assert tree.read(tree.root / "shop.py")[0] == b"new"


def test_what_is_no_regular_file_is_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe.py")
    (root / "folder").mkdir()
    for name in ("pipe.py", "folder"):
        with pytest.raises(ToolError) as refused:
            Tree("p", root).read(root.resolve() / name)
        assert refused.value.code == "not_a_file"


def test_a_huge_file_is_refused(root: Path) -> None:
    with (root / "huge.py").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ToolError) as refused:
        Tree("p", root).read(root.resolve() / "huge.py")
    assert refused.value.code == "too_large"


def test_the_walk_gives_wanted_files_and_leaves_out_what_tools_generate(root: Path) -> None:
    for name in ("b/x.py", "node_modules/y.py", ".venv/z.py", "b/target/w.py", "b/x.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "c.py").symlink_to("shop.py")
    tree = Tree("p", root)
    found = [tree.relative(path) for path in tree.files(lambda path: path.endswith(".py"))]
    assert found == ["main.py", "shop.py", "b/x.py"]


@pytest.mark.parametrize("links", [41, 1500])
def test_a_chain_of_more_links_than_the_kernel_follows_is_not_readable(root: Path, links: int) -> None:
    (root / "end.py").write_text("1")
    for number in range(links):
        target = root / (f"{number + 1}.py" if number < links - 1 else "end.py")
        (root / f"{number}.py").symlink_to(target)  # absolute: openat2 alone does not follow it
    with pytest.raises(ToolError) as refused:
        Tree("p", root).read(Tree("p", root).root / "0.py")
    assert refused.value.code == "not_readable"


def test_a_link_out_of_the_project_to_nothing_is_a_file_that_is_not_there(root: Path) -> None:
    (root / "gone.py").symlink_to("/nowhere/gone.py")
    with pytest.raises(ToolError) as refused:
        Tree("p", root).read(Tree("p", root).root / "gone.py")
    assert refused.value.code == "not_found"


def test_what_is_too_deep_to_be_walked_is_reported(root: Path) -> None:
    deep = root / "/".join(["d"] * 120)
    deep.mkdir(parents=True)
    (deep / "a.py").write_text("")
    cut: list[str] = []
    found = list(Tree("p", root).files(lambda path: path.endswith(".py"), cut=cut.append))
    assert deep / "a.py" not in found
    assert cut == ["1 directories of this project are too deep or too large to be searched."]
