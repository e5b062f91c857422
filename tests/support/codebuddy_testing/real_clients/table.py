"""The table of clients and scenarios that a session of tests ends with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

from codebuddy_testing.real_clients.client import Client
from codebuddy_testing.real_clients.scenarios import Seen

_LAST_WORDS = 240


@dataclass
class Table:
    """What each client did in each scenario, and notes below the table."""

    scenarios: Sequence[str]
    _cells: dict[tuple[str, str], str] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def enter(self, client: str, scenario: str, word: str, note: str | None = None) -> None:
        """Enter a result; a note gets a number that stands in the cell."""
        if note is not None:
            if note not in self._notes:
                self._notes.append(note)
            word = f"{word} [{self._notes.index(note) + 1}]"
        self._cells[client, scenario] = word

    def lines(self) -> Iterable[str]:
        """Return the table's lines, if there is anything in it."""
        clients = list(dict.fromkeys(client for client, _ in self._cells))
        if not clients:
            return
        rows = [["", *self.scenarios]]
        rows += [[client, *(self._cells.get((client, one), "") for one in self.scenarios)] for client in clients]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for number, note in enumerate(self._notes, 1):
            yield f"[{number}] {note}"


@dataclass(frozen=True)
class Outcome:
    """One cell of the table, and the verdict of its test."""

    table: Table
    client: Client
    scenario: str

    def begin(self) -> None:
        """Enter that the test failed, which stands if it ends without a verdict."""
        self.table.enter(self.client.name, self.scenario, "FAILED")

    def settle(self, well: bool, word: str, seen: Seen) -> None:
        """Pass if all is well, or if it is not in the very way in which this client is known to deviate."""
        deviation = self.client.deviations.get(self.scenario)
        if deviation is None:
            if not well:
                self.table.enter(self.client.name, self.scenario, "FAILED", self._last_words(seen))
            assert well, f"{word}\n{seen.account()}"
            self.table.enter(self.client.name, self.scenario, word)
            return
        assert not well, f"this client no longer deviates ({word}): {deviation.reason}"
        assert re.search(deviation.seen, "\n".join(seen.results)), seen.account()
        self.table.enter(self.client.name, self.scenario, "deviates", deviation.reason)

    def _last_words(self, seen: Seen) -> str:
        last = seen.results[-1] if seen.results else seen.client.output()[-_LAST_WORDS:] or "nothing was called"
        return f"{self.client.name}, {self.scenario}: {' '.join(last.split())[:_LAST_WORDS]}"

    def leave_out(self, reason: str) -> NoReturn:
        """Enter that the scenario cannot be had with this client."""
        self.table.enter(self.client.name, self.scenario, "n.a.", reason)
        pytest.skip(reason)
