"""Before a request the server has the text on disk, with a growing version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from codebuddy.agent.lsp.documents import Documents
from codebuddy.agent.lsp.tree import Tree
from codebuddy.tool import ToolError

Sent = list[tuple[str, Any]]


@pytest.fixture
def sent() -> Sent:
    return []


@pytest.fixture
def documents(root: Path, sent: Sent) -> Documents:
    return Documents(Tree("p", root), lambda _: "python", lambda method, params: sent.append((method, params)))


def texts(sent: Sent) -> list[tuple[int, str]]:
    """Return the versions and texts that the server was sent, in order."""
    found = []
    for method, params in sent:
        if method == "textDocument/didOpen":
            found.append((params["textDocument"]["version"], params["textDocument"]["text"]))
        if method == "textDocument/didChange":
            found.append((params["textDocument"]["version"], params["contentChanges"][0]["text"]))
    return found


def test_a_file_is_opened_once_and_sent_again_only_if_its_text_changed(
    documents: Documents, sent: Sent, root: Path
) -> None:
    path = root.resolve() / "main.py"
    documents.sync(path)
    documents.sync(path)
    path.write_text("new\n")
    documents.sync(path)
    os.utime(path)
    documents.sync(path)
    assert texts(sent)[1:] == [(2, "new\n")]


def test_a_change_that_keeps_time_size_and_inode_is_noticed(documents: Documents, sent: Sent, root: Path) -> None:
    path = root.resolve() / "main.py"
    path.write_text("one")
    status = path.stat()
    documents.sync(path)
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert documents.sync(path).text == "two"
    assert texts(sent)[-1] == (2, "two")


def test_versions_grow_when_a_file_is_closed_and_opened_again(documents: Documents, sent: Sent, root: Path) -> None:
    path = root.resolve() / "main.py"
    documents.sync(path)
    path.unlink()
    with pytest.raises(ToolError, match="no such file"):
        documents.sync(path)
    path.write_text("again")
    documents.sync(path)
    versions = [version for version, _ in texts(sent)]
    assert versions == sorted(set(versions))
    assert [method for method, _ in sent].count("textDocument/didClose") == 1


def test_all_open_documents_are_updated(documents: Documents, sent: Sent, root: Path) -> None:
    for name in ("main.py", "shop.py"):
        documents.sync(root.resolve() / name)
    (root / "main.py").unlink()
    (root / "shop.py").write_text("changed")
    assert documents.sync_all()
    assert documents.paths() == [root.resolve() / "shop.py"]
    assert texts(sent)[-1][1] == "changed"
    assert not documents.sync_all()


def test_the_number_of_open_documents_is_bounded(documents: Documents, root: Path) -> None:
    for number in range(200):
        (root / f"f{number}.py").touch()
        documents.sync(root.resolve() / f"f{number}.py")
    assert len(documents.paths()) == 128
    assert documents.paths()[-1] == root.resolve() / "f199.py"


def test_byte_order_marks_and_invalid_utf_8_are_not_sent(documents: Documents, sent: Sent, root: Path) -> None:
    (root / "main.py").write_bytes(b"\xef\xbb\xbfa\xffb")
    documents.sync(root.resolve() / "main.py")
    assert texts(sent) == [(1, "a\ufffdb")]
