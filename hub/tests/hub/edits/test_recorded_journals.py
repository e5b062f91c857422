"""Edits that an earlier version of the hub recorded are recovered and undone as that version did."""

from __future__ import annotations

from pathlib import Path

import pytest

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
