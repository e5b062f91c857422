"""The language matrix as a table: a row for each case, a column for each server, then the reason of every verdict that
is not ``ok``.
"""

from __future__ import annotations

from collections.abc import Sequence

from codebuddy_testing.verdicts import Verdict

_ABSENT = "-"


class Table:
    """Collects verdicts; columns that stay empty are not shown."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._rows: dict[tuple[str, str], dict[str, Verdict]] = {}

    def add(self, tool: str, case: str, column: str, verdict: Verdict) -> None:
        self._rows.setdefault((tool, case), {})[column] = verdict

    def lines(self) -> list[str]:
        """Return the table, the counts, and the reason of each cell that is not ``ok``; no line without a verdict."""
        if not self._rows:
            return []
        columns = [name for name in self._columns if any(name in row for row in self._rows.values())]
        first = max(len(f"{tool}: {case}") for tool, case in self._rows)
        widths = [max(len(name), len("unsupported")) for name in columns]
        lines = ["  ".join([" " * first, *(name.ljust(width) for name, width in zip(columns, widths, strict=True))])]
        for (tool, case), row in self._rows.items():
            cells = [row[name].state if name in row else _ABSENT for name in columns]
            shown = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
            lines.append("  ".join([f"{tool}: {case}".ljust(first), *shown]).rstrip())
        return [*lines, "", self._counts(), "", *self._notes()]

    def _counts(self) -> str:
        verdicts = [verdict for row in self._rows.values() for verdict in row.values()]
        states = ("ok", "unsupported", "limited", "WRONG")
        counted = [f"{sum(verdict.state == state for verdict in verdicts)} {state}" for state in states]
        return f"{len(verdicts)} cells: {', '.join(counted)}"

    def _notes(self) -> list[str]:
        """Return each reason once, with its cells."""
        reasons: dict[tuple[str, str, str], list[str]] = {}
        for (tool, case), row in self._rows.items():
            for column, verdict in row.items():
                if verdict.state != "ok":
                    reasons.setdefault((verdict.state, column, verdict.why), []).append(f"{tool}: {case}")
        order = sorted(reasons.items(), key=lambda item: (item[0][0], self._columns.index(item[0][1])))
        return [f"{state} {column}: {why} ({'; '.join(cells)})" for (state, column, why), cells in order]
