"""The sample project of each profile passes the profile's tasks, in a spoke of that profile."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from codebuddy_testing.deployment import ROOT, Deployment

SAMPLES = ROOT / "roles/projects/files/samples"
SPOKES = {"typescript": "ts-tsc", "python": "py-pylsp", "rust": "rust", "go": "go", "cpp": "cpp"}
SOURCES = (".ts", ".py", ".rs", ".go", ".cpp", ".hpp")
PLACE = "/tmp/sample"
RUN = "import json, os, sys; os.chdir(sys.argv[1]); argv = json.loads(sys.argv[2]); os.execvp(argv[0], argv)"


def packed(directory: Path) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(directory, arcname=".")
    return archive.getvalue()


@pytest.mark.parametrize("profile", SPOKES)
def test_the_sample_of_a_profile_passes_its_tasks(profile: str) -> None:
    directory = os.environ.get("CODEBUDDY_TEST_DIR", "~/.cache/codebuddy-test-languages")
    fleet, spoke = Deployment("cblang", 3901, Path(directory).expanduser()), SPOKES[profile]
    unpack = f"rm -rf {PLACE} && mkdir {PLACE} && tar -x --no-same-owner -C {PLACE}"
    assert fleet.run(spoke, "sh", "-c", unpack, text=packed(SAMPLES / profile)).code == 0
    tasks: dict[str, dict[str, Any]] = json.loads(fleet.run(spoke, "cat", "/etc/codebuddy/config.json").output)["tasks"]
    assert "test" in tasks
    for name, task in sorted(tasks.items()):
        if name == "install":  # it needs a network, which these spokes do not have
            continue
        argv = [word.replace("{report}", f"{PLACE}-report.xml") for word in task["argv"]]
        done = fleet.python(spoke, RUN, PLACE, json.dumps(argv))
        assert done.code == 0, f"{name}: {done.output}"
    # The tasks include formatting, which must not change the sample.
    for path in sorted(path for path in (SAMPLES / profile).rglob("*") if path.suffix in SOURCES):
        after = fleet.run(spoke, "cat", f"{PLACE}/{path.relative_to(SAMPLES / profile)}").output
        assert after == path.read_text(), path
