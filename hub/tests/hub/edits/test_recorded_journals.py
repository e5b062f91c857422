"""Edits that an earlier version of the hub recorded are recovered and undone as that version did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codebuddy.files.paths import WorkspacePath
from codebuddy.files.text import content_hash
from codebuddy.hub.edits.disk_view import Node
from codebuddy.hub.edits.draft import Change
from codebuddy.hub.edits.journal import Contents, read_change, write_change

from .bench import Bench
from .recording import Json, lay_out, plain, read

RECORDINGS = [
    recording for source in sorted((Path(__file__).parent / "recorded").glob("*.json.xz")) for recording in read(source)
]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: f"{recording['scenario']} - {recording['how']}")
def test_an_edit_of_an_earlier_version_is_recovered_and_undone(recording: Json, quick_path: Path) -> None:
    bench = Bench(quick_path / "bench")
    lay_out(recording, bench)
    assert list(bench.recover().values()) == recording["ends"]
    assert plain(bench.tree()) == recording["recovered"]
    for entry in bench.standing()[::-1]:
        bench.undo(entry.id)
    assert plain(bench.tree()) == recording["undone"]
    assert not bench.temporaries()
    bench.close()


def test_the_recordings_have_every_step_and_every_end() -> None:
    documents = [document for recording in RECORDINGS for _, document, _ in recording["records"] if document]
    steps = {step["step"] for document in documents if "steps" in document for step in document["steps"]}
    assert steps == {"Replace", "Overwrite", "Chmod", "Create", "Remove", "Move"}
    assert {end for recording in RECORDINGS for end in recording["ends"]} == {"applied", "reverted", "discarded"}


def test_a_recorded_change_has_attributes_owner_and_names_that_are_not_utf8() -> None:
    before = {"kind": "file", "content": [2, 3], "hash": content_hash(b"old"), "mode": 0, "owner": [5, 6]}
    after = {"kind": "directory", "mode": 0o2755, "implied": True}
    raw: Json = {
        "source": ["a", "dir", "\udcff"],
        "target": None,
        "before": before | {"attributes": {"user.x": "+/8="}},
        "after": after,
    }
    change = read_change(json.loads(json.dumps(raw)), Contents(b"--old"))
    assert change == Change(
        WorkspacePath("a", ("dir", "\udcff")),
        None,
        Node("file", b"old", content_hash(b"old"), 0, (5, 6), {"user.x": b"\xfb\xff"}),
        Node("directory", mode=0o2755, implied=True),
    )
    contents = Contents()
    contents.add(b"--")
    assert json.loads(json.dumps(write_change(change, contents))) == raw
    assert contents.data == b"--old"
