"""The applied plans, numbered and kept on the host as a record."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.codebuddy_files import write_atomically

from .files import make_directory
from .plan import Plan, canonical

KEEP = 20


class Generations:
    """The generations below a state directory: ``generations/NNNN.json``, each with number, time and plan."""

    def __init__(self, state_dir: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._directory = state_dir / "generations"
        self._now = now

    def numbers(self) -> list[int]:
        """Return the kept numbers, oldest first."""
        names = (path.stem for path in self._directory.glob("*.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def latest(self) -> int | None:
        """Return the newest number, None if nothing was ever applied."""
        return next(reversed(self.numbers()), None)

    def plan(self, number: int) -> dict[str, Any]:
        """Return the plan of a generation; an empty dict, which differs from any plan, if it cannot be read."""
        try:
            data = json.loads(self._path(number).read_text(encoding="utf-8"))["plan"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return data if isinstance(data, dict) else {}

    def holds(self, plan: Plan) -> bool:
        """Whether the newest generation is this plan."""
        latest = self.latest()
        return latest is not None and canonical(self.plan(latest)) == canonical(plan.as_dict())

    def next(self) -> int:
        """Return the number that :meth:`keep` will use."""
        return (self.latest() or 0) + 1

    def keep(self, plan: Plan) -> int:
        """Store the plan as a new generation, remove the oldest beyond :data:`KEEP`, and return its number."""
        make_directory(self._directory, 0o700)
        number = self.next()
        record = {
            "generation": number,
            "applied": self._now().isoformat(timespec="seconds"),
            "fleet": plan.fleet,
            "plan": plan.as_dict(),
        }
        content = json.dumps(record, indent=1) + "\n"
        write_atomically(self._path(number), content.encode(), lambda temporary: temporary.chmod(0o600))
        for old in self.numbers()[:-KEEP]:
            self._path(old).unlink(missing_ok=True)
        return number

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:04d}.json"
