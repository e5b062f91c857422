"""Two branches of a project that differ in many small files: what tests of a checkout switch between.

It needs Python's library only, since some of these tests run in a spoke.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["MANY", "Bulk", "differing"]

MANY = 1820
"""So many files that the branches differ in 2,000."""

KINDS = 10

BROKEN = 1
"""The number of a file that is right in the one branch and, if the bulk says how, wrong in the other."""


@dataclass(frozen=True)
class Bulk:
    """Many files of one language; in each form, ``{number}`` is the file's and ``{place}`` that of its directory.

    Args:
        folder: the directory in the project that takes them.
        suffix: the ending of their names.
        use: a file that uses a function of the project.
        plain: a file that uses nothing.
        comment: a line to put before either.
        wrong: a file with an error.
        count: the number of files, a multiple of `KINDS`. One of each kind has the use: python-lsp-server looks for a
            name in a few of the files only that have it.
    """

    folder: str
    suffix: str
    use: str
    plain: str
    comment: str
    wrong: str | None = None
    count: int = MANY

    def branch(self, other: bool) -> dict[str, str]:
        """Give the files of a branch by their path in the project.

        Of ten, the two branches have five that are different, two each alone, and one elsewhere.
        """
        files = {}
        for number in range(self.count):
            kind = number // self._every
            if (kind in (5, 6) and other) or (kind in (7, 8) and not other):
                continue
            place = "b" if kind == 9 and other else "a"
            text = self._form(number, other).format(number=number, place=place)
            changed = self.comment if kind < 5 and other else ""
            files[f"{self.folder}/{place}/f{number}{self.suffix}"] = changed + text
        return files | self._modules(files)

    def moved(self, other: bool) -> str:
        """Give the path of a file with a use, which is elsewhere in the other branch."""
        return f"{self.folder}/{'b' if other else 'a'}/f{(KINDS - 1) * self._every}{self.suffix}"

    def broken(self) -> str:
        """Give the path of the file that may be wrong in the other branch."""
        return f"{self.folder}/a/f{BROKEN}{self.suffix}"

    @property
    def _every(self) -> int:
        return self.count // KINDS

    def _form(self, number: int, other: bool) -> str:
        if number == BROKEN and other and self.wrong is not None:
            return self.wrong
        return self.use if number % self._every == 0 else self.plain

    def _modules(self, files: dict[str, str]) -> dict[str, str]:
        """Give the files that name the others, where a language needs them."""
        if self.suffix != ".rs":
            return {}
        modules = {f"{self.folder}/mod.rs": "pub mod a;\npub mod b;\n"}
        for place in ("a", "b"):
            folder = f"{self.folder}/{place}"
            names = sorted(PurePosixPath(path).stem for path in files if path.startswith(f"{folder}/"))
            modules[f"{folder}/mod.rs"] = "".join(f"pub mod {name};\n" for name in names)
        return modules


def differing(old: dict[str, str], new: dict[str, str]) -> int:
    """Count the files that are not the same in two branches."""
    return sum(old.get(path) != new.get(path) for path in old.keys() | new.keys())
