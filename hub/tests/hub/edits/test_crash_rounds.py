"""A process that makes edits and is killed at two hundred random instants leaves no edit half done and loses none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import codebuddy
from codebuddy_testing import crash_rounds


def test_kills_at_random_instants_leave_no_edit_half_done(quick_path: Path) -> None:
    places = [quick_path / name for name in ("one", "two", "journal")]
    for place in places:
        place.mkdir()
    *roots, journal = map(str, places)
    run = subprocess.run(
        [sys.executable, "-", "--rounds", "200", "--root", *roots, "--journal", journal],
        input=Path(crash_rounds.__file__).read_text(),  # as it is piped into a hub
        env={"PYTHONPATH": str(Path(codebuddy.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    told = run.stderr + run.stdout
    assert run.stdout, told
    counts = json.loads(run.stdout)
    assert counts["half_applied"] == counts["lost_files"] == counts["stray_temporaries"] == 0, told
    assert run.returncode == 0, told
    assert counts["kills_in_an_edit"] > 0, "no kill hit an edit, so nothing was shown"
    assert not any(list(place.iterdir()) for place in places), "the script left something behind"
