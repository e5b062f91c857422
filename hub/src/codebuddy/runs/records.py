"""Jobs on disk, in the spoke's cache volume: what is to be told of them after the agent was started anew.

What runs in the spoke can write there too: what is read is checked, and bounded.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from codebuddy.runs.files import create_file, open_file
from codebuddy.runs.run import Run, RunEnd
from codebuddy.runs.transcript import Transcript
from codebuddy.schemas.runs import Reported

__all__ = ["load_runs", "save_run"]

_NAME: Final = "run.json"
_MAX_RECORD: Final = 1024 * 1024
_MAX_RECORDS: Final = 500

log = logging.getLogger(__name__)


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    argv: list[str]
    task: str | None = None
    background: bool
    started: float
    end: RunEnd | None = None
    report: Reported = Reported()


def save_run(directory: Path, run: Run) -> None:
    """Write what is known of a run; a failure is noted in the log, and the run goes on."""
    record = {
        "argv": run.argv,
        "task": run.task,
        "background": run.background,
        "started": run.started,
        "end": None if run.end is None else asdict(run.end),
        "report": run.report.model_dump(exclude_none=True),
    }
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = directory / f"{_NAME}.new"
        new.unlink(missing_ok=True)
        with create_file(new) as file:
            file.write(json.dumps(record).encode())
        os.replace(new, directory / _NAME)
    except OSError as error:
        log.warning("the job %s cannot be noted in %s: %s", run.job_id, directory, error.strerror)


def load_runs(parent: Path, project: str, limit: int) -> list[Run]:
    """Give the runs that an earlier agent kept, the oldest first. One that had not ended ended with that agent.

    Args:
        parent: holds a directory for each.
        project: id of the project.
        limit: how much of the output of a run is kept, in bytes.
    """
    try:
        entries = sorted(parent.iterdir())[:_MAX_RECORDS]
    except OSError:
        return []
    runs = []
    for entry in entries:
        run = _load(entry, project, limit)
        if run is None:
            shutil.rmtree(entry, ignore_errors=True)  # left by a run whose caller nobody can answer any more
        else:
            runs.append(run)
    return sorted(runs, key=lambda run: run.started)


def _load(directory: Path, project: str, limit: int) -> Run | None:
    path = directory / _NAME
    try:
        with open_file(path, _MAX_RECORD) as file:
            written = os.fstat(file.fileno()).st_mtime
            record = _Record.model_validate_json(file.read())
        run = Run(
            job_id=f"{project}:{directory.name}",
            argv=record.argv,
            task=record.task,
            background=record.background,
            started=record.started,
            transcript=Transcript.load(directory, limit),
            report=record.report,
        )
        run.end = record.end or RunEnd(
            "agent_restart",
            max(0.0, written - record.started),
            message="The spoke was started anew while it ran; start it again.",
        )
        run.describe().text()  # whatever was written there can be told, or it is not taken
    except (OSError, ValidationError, ValueError, OverflowError):
        return None
    if record.end is None:
        save_run(directory, run)
    return run
