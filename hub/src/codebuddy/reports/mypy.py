"""What mypy prints."""

from __future__ import annotations

import re

from codebuddy.reports.gathered import Draft, Gathered
from codebuddy.reports.lines import number, plain
from codebuddy.reports.models import Report
from codebuddy.reports.places import place

__all__ = ["MypyReader"]

_MESSAGE = re.compile(
    r":([0-9]{1,9})(?::([0-9]{1,9}))?(?::([0-9]{1,9}):([0-9]{1,9}))?: (error|warning|note): ",
)
_CODE = re.compile(r"[a-z][a-z0-9-]{0,100}\Z")
_FATAL = re.compile(r"mypy: (?:error: )?|usage: mypy ")


class MypyReader:
    """Reads ``mypy``, with and without columns, ends and ``--pretty``; it counts columns in code points."""

    def __init__(self) -> None:
        self._found = Gathered("mypy")

    def feed(self, line: str) -> None:
        line = plain(line)
        found = _MESSAGE.search(line)
        if found is None or line[0].isspace():
            self._continuation(line)
            return
        at = place(line[: found.start()], found[1])
        if at is None:
            return
        text = line[found.end() :]
        previous = self._found.open
        if found[5] == "note" and previous is not None and previous.place == at:
            previous.note(f"note: {text}")
            return
        draft = Draft(at, number(found[2]), "error" if found[5] == "error" else "information", [text])
        end_line, end_column = number(found[3]), number(found[4])
        if end_line and end_column:
            draft.end = (end_line, end_column + 1)  # it names the last character
        _take_code(draft)
        self._found.begin(draft)

    def finish(self) -> Report:
        return self._found.report()

    def _continuation(self, line: str) -> None:
        """Take a line that is no message: --pretty wraps messages, and shows the indented line of the file."""
        draft = self._found.open
        if _FATAL.match(line):
            self._found.problem(line)
        elif draft is None or draft.code is not None or len(draft.message) > 1:
            return
        elif line and not line[0].isspace() and not line.startswith(("Found ", "Success: ")):
            draft.message[0] = f"{draft.message[0].rstrip()} {line}"[:4096]
            _take_code(draft)


def _take_code(draft: Draft) -> None:
    message = draft.message[0]
    start = message.rfind(" [")
    if message.endswith("]") and start >= 0 and _CODE.match(message[start + 2 : -1]):
        draft.code = message[start + 2 : -1]
        draft.message[0] = message[:start].rstrip()
