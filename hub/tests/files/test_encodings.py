"""Files in the encodings that a project declares: read, searched and edited, and every other byte stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codebuddy.files.encodings import declare_encodings, declared_encoding
from codebuddy.files.search import use_encodings
from codebuddy.schemas.encodings import EXAMPLES, codec_of
from codebuddy.tool import ToolError
from codebuddy_testing.tool_client import ToolClient

ENCODINGS = {
    "latin/**": "latin-1",
    "*.cp": "Windows-1252",
    "*.sjis": "Shift_JIS",
    "*.932": "cp932",
    "*.euc": "EUC-JP",
    "*.gb": "GB18030",
    "gone/**": "utf-8",
}
TEXTS = {
    "p/latin/a.txt": ("déjà vu\r\nÿ £\r\n", "latin-1"),
    "p/a.cp": ("„déjà“ 5 €\n", "cp1252"),
    "p/a.sjis": ("表示と能力\nソース\n", "shift_jis"),
    "p/a.932": ("①表示\n", "cp932"),
    "p/a.euc": ("日本語\nカタカナ\n", "euc_jp"),
    "p/a.gb": ("汉字𠀀€\n简体\n", "gb18030"),
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ToolClient]:
    (tmp_path / "fleet" / "p").mkdir(parents=True)
    for path, (text, codec) in TEXTS.items():
        (tmp_path / "fleet" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "fleet" / path).write_bytes(text.encode(codec))
    client = ToolClient(tmp_path / "fleet", tmp_path / "journal", ["p"])
    use_encodings("p", ENCODINGS.items())
    yield client
    declare_encodings("p", [])
    client.close()


@pytest.mark.anyio
@pytest.mark.parametrize("path", TEXTS)
async def test_a_declared_file_is_read_found_edited_and_written(client: ToolClient, tmp_path: Path, path: str) -> None:
    text, codec = TEXTS[path]
    file, word = tmp_path / "fleet" / path, text.split("\n")[0].strip()
    read = await client("read_file", path=path)
    assert (read["content"], codec_of(read["encoding"])) == (text, codec_of(codec))
    (match,) = (await client("search_text", pattern=word))["matches"]
    assert (match["path"], match["line"], match["column"], match["line_text"]) == (path, 1, 1, word)
    edited = await client("edit_file", path=path, edits=[{"old_text": word, "new_text": f"x{word}"}])
    assert f"+x{word}" in edited["diff"]
    assert file.read_bytes() == f"x{text}".encode(codec)
    await client("write_file", path=path, content=text)
    assert file.read_bytes() == text.encode(codec)
    change = {"path": path, "edits": [{"line": 1, "column": 2, "end_line": 1, "end_column": 3, "new_text": "yy"}]}
    await client("apply_workspace_edit", changes=[change])
    assert file.read_bytes() == (text[:1] + "yy" + text[2:]).encode(codec)


@pytest.mark.anyio
async def test_a_new_file_gets_the_declared_encoding_and_one_with_a_mark_keeps_its_own(
    client: ToolClient, tmp_path: Path
) -> None:
    await client("write_file", path="p/new.cp", content="€\n")
    assert (tmp_path / "fleet/p/new.cp").read_bytes() == b"\x80\n"
    (tmp_path / "fleet/p/marked.cp").write_bytes("\ufeff€".encode())
    assert (await client("read_file", path="p/marked.cp"))["encoding"] == "utf-8-bom"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("before", "new", "after"),
    [  # characters that these encodings write in several ways
        (b"a\x87\x9a\x81\xe6 \n\xed\x40x\n\xee\xfa\n", "b", b"b\x87\x9a\x81\xe6 \n\xed\x40x\n\xee\xfa\n"),
        (
            b"\xed\x40\r\na\xfa\xfb\xee\xfa\r\n\xee\xef\r\n",
            "b\n",
            b"\xed\x40\r\nb\r\n\xfa\xfb\xee\xfa\r\n\xee\xef\r\n",
        ),
    ],
)
async def test_bytes_outside_the_edit_stay(
    client: ToolClient, tmp_path: Path, before: bytes, new: str, after: bytes
) -> None:
    path = "p/a.932"
    (tmp_path / "fleet" / path).write_bytes(before)
    assert before.decode("cp932").encode("cp932") != before
    await client("edit_file", path=path, edits=[{"old_text": "a", "new_text": new}])
    assert (tmp_path / "fleet" / path).read_bytes() == after


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("edit_file", {"edits": [{"old_text": "vu", "new_text": "\n→"}]}),
        ("write_file", {"content": "\n\n→"}),
    ],
)
async def test_a_character_that_the_encoding_lacks_is_refused(
    client: ToolClient, tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    before = (tmp_path / "fleet/p/latin/a.txt").read_bytes()
    refused = await client.refused(tool, path="p/latin/a.txt", **arguments)
    assert refused.code == "invalid_text"
    assert "declared as latin-1, which has no '→' (U+2192, in line " in refused.message
    assert (tmp_path / "fleet/p/latin/a.txt").read_bytes() == before


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("p/a.euc", b"a\n\xff\n", "declared as EUC-JP (the project's setting `encodings`), and line 2 is none"),
        ("p/other", b"\xe9\n", "declare its encoding"),
        ("p/gone/a", b"\xe9\n", "declare its encoding"),
    ],
)
async def test_what_cannot_be_decoded_is_refused(
    client: ToolClient, tmp_path: Path, path: str, data: bytes, said: str
) -> None:
    (tmp_path / "fleet" / path).parent.mkdir(exist_ok=True)
    (tmp_path / "fleet" / path).write_bytes(data)
    refused = await client.refused("read_file", path=path)
    assert (refused.code, said in refused.message) == ("unsupported_encoding", True)
    assert "encodings" in refused.message


def test_names_of_encodings() -> None:
    assert all(codec_of(name) for name in EXAMPLES.split(", "))
    assert [codec_of(name) for name in ("latin1", "ISO-8859-1", "sjis", "windows-31j")] == [
        "iso8859-1",
        "iso8859-1",
        "shift_jis",
        "cp932",
    ]
    assert [codec_of(name) for name in ("utf-16", "utf-7", "rot13", "idna", "x" * 99, "a\0b", 1, None)] == [None] * 8
    with pytest.raises(ValueError, match="not known"):
        use_encodings("q", [("*", "nonsense")])
    with pytest.raises(ToolError):
        use_encodings("q", [("[z-a]", "latin-1")])
    assert declared_encoding("q", "a") is None


def test_the_last_that_fits_counts() -> None:
    use_encodings("q", [("*", "latin-1"), ("*.txt", "cp1251"), ("utf/**", "utf-8")])
    assert [declared_encoding("q", path) for path in ("a", "b/a.txt", "utf/a.txt")] == ["latin-1", "cp1251", None]
    declare_encodings("q", [])
