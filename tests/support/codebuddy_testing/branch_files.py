"""Two branches of a project that differ in many small files, for tests that check out another branch.

Needs the standard library only, because some of these tests run in a spoke.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

MANY = 1820
"""With so many files, the branches differ in 2,000."""

KINDS = 10

BROKEN = 1
"""The number of the file that has an error in the other branch if ``wrong`` is given."""


@dataclass(frozen=True)
class BranchFiles:
    """Many files of one language. In each template, ``{number}`` is the file's number and ``{place}`` its directory.

    Args:
        folder: the directory in the project that holds the files.
        use: template of a file that uses a function of the project.
        plain: template of a file that uses nothing.
        comment: a line to put before either.
        wrong: template of a file with an error.
        count: the number of files, a multiple of `KINDS`. Only one file of each kind has the use, because
            python-lsp-server searches only a few of the files that have a name.
    """

    folder: str
    suffix: str
    use: str
    plain: str
    comment: str
    wrong: str | None = None
    count: int = MANY

    def branch(self, other: bool) -> dict[str, str]:
        """Return the files of a branch by their path in the project.

        Of ten files, five have other content in the other branch, each branch lacks two, and one is in another
        directory.
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
        """Return the path of a file with a use that is in another directory in the other branch."""
        return f"{self.folder}/{'b' if other else 'a'}/f{(KINDS - 1) * self._every}{self.suffix}"

    def broken(self) -> str:
        """Return the path of the file that may have an error in the other branch."""
        return f"{self.folder}/a/f{BROKEN}{self.suffix}"

    @property
    def _every(self) -> int:
        return self.count // KINDS

    def _form(self, number: int, other: bool) -> str:
        if number == BROKEN and other and self.wrong is not None:
            return self.wrong
        return self.use if number % self._every == 0 else self.plain

    def _modules(self, files: dict[str, str]) -> dict[str, str]:
        """Return the files that declare the others, for a language that needs them."""
        if self.suffix != ".rs":
            return {}
        modules = {f"{self.folder}/mod.rs": "pub mod a;\npub mod b;\n"}
        for place in ("a", "b"):
            folder = f"{self.folder}/{place}"
            names = sorted(PurePosixPath(path).stem for path in files if path.startswith(f"{folder}/"))
            modules[f"{folder}/mod.rs"] = "".join(f"pub mod {name};\n" for name in names)
        return modules


def count_differing(old: dict[str, str], new: dict[str, str]) -> int:
    """Count the files that differ between two branches."""
    return sum(old.get(path) != new.get(path) for path in old.keys() | new.keys())
