"""What runners of tests print at the end of a run whose report is in a file: there may be more failures than there."""

from __future__ import annotations

import re
from typing import Final

_MAX_LINE = 500  # characters of a line that are read

# Groups: failed (what is added up), errors (beside them), and files that could not be run.
_TOTALS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"Tests: {1,20}(?P<failed>[0-9]{1,9}) failed\b",  # Jest
        r" {0,20}Tests {1,4}(?P<failed>[0-9]{1,9}) failed\b",  # Vitest
        r" {0,20}Errors {1,4}(?P<errors>[0-9]{1,9}) errors?\Z",
        r" {1,4}(?P<failed>[0-9]{1,9}) fail\Z",  # Bun
        r" {1,4}(?P<errors>[0-9]{1,9}) errors?\Z",
        r"(?:FAILED|ok) \| .{0,60}?\b(?P<failed>[0-9]{1,9}) failed(?: \((?P<more>[0-9]{1,9}) steps?\))?",  # Deno
        r" {2}(?P<failed>[0-9]{1,9}) (?:failing|failed)\Z",  # Mocha, Playwright
        r"(?:\[\w{1,8}\] ){0,2}Tests run: [0-9]{1,9}, Failures: (?P<failed>[0-9]{1,9}), Errors: (?P<more>[0-9]{1,9})",
        # PHPUnit
        r"Tests: [0-9]{1,9}, Assertions: [0-9]{1,9}, "
        r"Errors: (?P<failed>[0-9]{1,9})(?:, Failures: (?P<more>[0-9]{1,9}))?",
        r"Tests: [0-9]{1,9}, Assertions: [0-9]{1,9}, Failures: (?P<failed>[0-9]{1,9})",
        r"[0-9]{1,9} examples?, (?P<failed>[0-9]{1,9}) failures?\b",  # RSpec
        r"DONE (?:[0-9]{1,9} runs, )?[0-9]{1,9} tests\b.{0,60}? (?P<failed>[0-9]{1,9}) failures?\b",  # gotestsum
        r"DONE (?:[0-9]{1,9} runs, )?[0-9]{1,9} tests\b.{0,80}? (?P<errors>[0-9]{1,9}) errors?\b",
        r"[0-9]{1,3}% tests passed, (?P<failed>[0-9]{1,9}) tests? failed out of ",  # CTest
        r"[0-9]{1,9} tests?, (?P<failed>[0-9]{1,9}) failures?\b",  # Bats
    )
)
_WORDS: Final = re.compile(
    r"[0-9]{1,9} errors? (?:occurred outside of examples|(?:was|were) not a part of any test)\b"  # RSpec, Playwright
    r"|\A\S{1,300} \(uncaught error\)\Z"  # Deno
    r"|Exception during run: "  # Mocha
    r"|INTERNALERROR> "  # pytest
)
_MAY_MATCH: Final = re.compile("[Ff]ail|FAIL|rror|Exception during run|DONE")
_NOT_RUN: Final = re.compile(r" {0,4}● Test suite failed to run\Z")  # Jest


class Totals:
    """Reads the lines that a run prints."""

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}  # by pattern, as the last such line says
        self._errors: dict[str, int] = {}
        self._said = ""  # something that no report of a test has
        self._not_run = 0

    def feed(self, line: str) -> None:
        """Take a line without terminal escapes."""
        line = line[:_MAX_LINE]
        if not _MAY_MATCH.search(line):
            return
        stripped = line.strip()
        if not self._said and _WORDS.search(stripped):
            self._said = stripped
        self._not_run += _NOT_RUN.match(line) is not None
        for pattern in _TOTALS:
            if found := pattern.match(line):
                groups = found.groupdict()
                if groups.get("failed"):
                    self._failed[pattern.pattern] = int(groups["failed"]) + int(groups.get("more") or 0)
                if groups.get("errors"):
                    self._errors[pattern.pattern] = int(groups["errors"])

    def problem(self, failed: int, errors: int, *, names_files: bool) -> str | None:
        """Return what the run said that its report does not have; None if that has all.

        Args:
            failed: how many elements of the report say that something failed.
            errors: how many of them are errors.
            names_files: whether the report has the files that could not be run.
        """
        said_failed, said_errors = max(self._failed.values(), default=0), max(self._errors.values(), default=0)
        if said_failed > failed:
            found = f"The output says that {said_failed} failed, and the report has {failed}"
        elif said_errors > errors:
            found = f"The output says that there were {said_errors} errors beside tests, and the report has {errors}"
        elif self._not_run and not names_files:
            found = "The output says that test files could not be run, and the report has none of them"
        elif self._said:
            found = f"The output says something that the report does not have: {self._said}"
        else:
            return None
        return f"{found}; see the output."
