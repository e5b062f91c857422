"""Why a Go test failed, read from what it printed."""

from __future__ import annotations

import re
from itertools import pairwise

from codebuddy.reports.places import Place, place

__all__ = ["GoPackage", "own_words"]

# testing.common.decorate: four spaces, the file's name, the line; further lines are four further in.
_LOGGED = re.compile(r" {4,80}([^\s:/][^:/]{0,200}\.go):([0-9]{1,9}): ?")
_PANIC = re.compile(r"(?:panic|fatal error): ")
_FRAME = re.compile(r"\t(/[^\t]{1,1000}\.go):([0-9]{1,9})(?: \+0x[0-9a-f]{1,16})?\Z")
_DECORATION = re.compile(r" *(?:=== |--- (?:FAIL|PASS|SKIP|BENCH): |FAIL\b|PASS\Z|ok  \t|exit status )")


def own_words(lines: list[str]) -> bool:
    """Say whether a test itself logged something or panicked."""
    return any(_LOGGED.match(line) or _PANIC.match(line) for line in lines)


class GoPackage:
    """A package of tests.

    Args:
        package: its import path.
        module: the path of the module that the working directory is the root of.
    """

    def __init__(self, package: str, module: str | None) -> None:
        self._package = package
        self._module = module
        self._prefix = module or package

    def read(self, lines: list[str]) -> tuple[list[str], Place | None]:
        """Give the message of a failure and its place: of the panic, or else of what was logged last.

        Messages of an error and of a log look the same; those that come from the line of the last are taken.
        """
        for index, line in enumerate(lines):
            if _PANIC.match(line):
                return self._panic(lines[index:])
        logged = self._logged(lines)
        if logged:
            last = logged[-1][0]
            return [text for at, texts in logged if at == last for text in texts], last
        return [line for line in lines if not _DECORATION.match(line)], None

    def _logged(self, lines: list[str]) -> list[tuple[Place, list[str]]]:
        logged: list[tuple[Place, list[str]]] = []
        for line in lines:
            if found := _LOGGED.match(line):
                at = place(self._below_module(found[1]), found[2])
                if at is not None:
                    logged.append((at, [line[found.end() :]]))
            elif logged and line.startswith("        "):
                logged[-1][1].append(line.strip())
        return logged

    def _panic(self, lines: list[str]) -> tuple[list[str], Place | None]:
        message: list[str] = []
        for line in lines:
            if not line or line.startswith("goroutine ") or (message and line.startswith("\tpanic: ")):
                break
            text = line.removesuffix(" [recovered]").removesuffix(" [recovered, repanicked]")
            message.append(text.strip().removeprefix("panic: "))
        for called, line in pairwise(lines):
            if called.startswith(self._prefix) and (found := _FRAME.match(line)):
                return message, place(found[1], found[2])
        return message, None

    def _below_module(self, file: str) -> str:
        module, package = self._module, self._package.removesuffix("_test")
        if module is not None and (package == module or package.startswith(f"{module}/")):
            package = package[len(module) :].strip("/")
        return f"{package}/{file}" if package else file
