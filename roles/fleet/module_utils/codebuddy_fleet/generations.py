"""The plans that were applied, kept on the host and numbered: what a rollback goes back to."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .files import make_directory, write_atomically
from .plan import Plan, canonical

__all__ = ["KEEP", "Generations"]

KEEP = 20


class Generations:
    """The generations below a state directory: ``generations/NNNN.json``, each with number, time and plan."""

    def __init__(self, state_dir: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._directory = state_dir / "generations"
        self._now = now

    def numbers(self) -> list[int]:
        """List the kept numbers, oldest first."""
        names = (path.stem for path in self._directory.glob("*.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def latest(self) -> int | None:
        """Give the newest number, None when nothing was ever applied."""
        return next(reversed(self.numbers()), None)

    def plan(self, number: int) -> dict[str, Any]:
        """Read the plan of a generation; an empty dict for one that cannot be read (it counts as another plan then)."""
        try:
            data = json.loads(self._path(number).read_text(encoding="utf-8"))["plan"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return data if isinstance(data, dict) else {}

    def holds(self, plan: Plan) -> bool:
        """Whether the newest generation is this very plan."""
        latest = self.latest()
        return latest is not None and canonical(self.plan(latest)) == canonical(plan.as_dict())

    def next(self) -> int:
        """Give the number that :meth:`keep` will use."""
        return (self.latest() or 0) + 1

    def keep(self, plan: Plan) -> int:
        """Store the plan as a new generation, let go of the oldest beyond :data:`KEEP`, and give its number."""
        make_directory(self._directory, 0o700)
        number = self.next()
        record = {
            "generation": number,
            "applied": self._now().isoformat(timespec="seconds"),
            "fleet": plan.fleet,
            "plan": plan.as_dict(),
        }
        write_atomically(self._path(number), json.dumps(record, indent=1) + "\n", 0o600)
        for old in self.numbers()[:-KEEP]:
            self._path(old).unlink(missing_ok=True)
        return number

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:04d}.json"
