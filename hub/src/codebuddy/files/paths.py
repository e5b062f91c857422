r"""Workspace paths: ``<project>/<path in the project>``, and how names that are not UTF-8 are sent.

Inside a process a name is a ``str`` as `os.fsdecode` gives it: bytes that are not UTF-8 are lone surrogates
(``surrogateescape``, PEP 383). JSON cannot carry those, so such a byte is sent as ``\xHH``, and a backslash that would
read as such an escape as ``\x5c``. Both directions are exact, and every other name is sent as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codebuddy.tool import ToolError

MAX_NAME_BYTES = 255  # NAME_MAX of every file system in use
MAX_PATH_BYTES = 4095  # PATH_MAX counts the final NUL

_ESCAPE = re.compile(r"\\x(5c|[89a-f][0-9a-f])")
_LOOKS_ESCAPED = re.compile(r"\\(?=x(?:5c|[89a-f][0-9a-f]))")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, order=True)
class WorkspacePath:
    """A path in a project, lexically clean: no empty part, no ``.``, no ``..``. Links are left to the kernel.

    Args:
        parts: names from the project's root down, as `os.fsdecode` gives them; empty for the root itself.
    """

    project: str
    parts: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> WorkspacePath:
        """Read a workspace path as clients write it.

        Raises:
            ToolError: ``invalid_path``, ``name_too_long``, or ``outside_project`` when ``..`` climbs out.
        """
        _check_characters(text)
        names = [name for name in text.split("/") if name not in ("", ".")]
        if not names or text.startswith("/"):
            raise ToolError(
                "invalid_path",
                "A path begins with a project's id and has no leading slash, like 'project-a/src/main.ts'.",
                text or None,
            )
        if ".." in names:
            raise _refuse_climbing(text, names)
        project, *parts = (from_wire(name) for name in names)
        if any("/" in part or "\0" in part for part in parts):  # cannot come out of an escape; kept as a guard
            raise ToolError("invalid_path", "A name may not contain a slash or NUL.", text)
        _check_lengths(text, parts)
        return cls(project, tuple(parts))

    @property
    def relative(self) -> str:
        """The path below the project's root for the kernel; ``.`` for the root itself."""
        return "/".join(self.parts) or "."

    @property
    def relative_wire(self) -> str:
        """The path below the project's root as it is sent; empty for the root itself."""
        return "/".join(to_wire(part) for part in self.parts)

    def __str__(self) -> str:
        return "/".join((self.project, *(to_wire(part) for part in self.parts)))

    @property
    def parents(self) -> list[WorkspacePath]:
        """The directories above it, the nearest first, without the project's root."""
        return [WorkspacePath(self.project, self.parts[:depth]) for depth in range(len(self.parts) - 1, 0, -1)]

    def is_below(self, above: WorkspacePath) -> bool:
        """Say whether it lies below another path, at any depth."""
        depth = len(above.parts)
        return self.project == above.project and len(self.parts) > depth and self.parts[:depth] == above.parts

    def child(self, *names: str) -> WorkspacePath:
        """Return the path of an entry below this one."""
        return WorkspacePath(self.project, (*self.parts, *names))


def to_wire(name: str) -> str:
    """Escape one name so that it is valid UTF-8, reversibly."""
    if name.isascii() and "\\" not in name:
        return name
    escaped = _LOOKS_ESCAPED.sub(r"\\x5c", name)
    return _NOT_UTF8.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", escaped)


def from_wire(name: str) -> str:
    """Undo `to_wire`; bytes that together are UTF-8 become their character, so one file has one internal name."""
    if "\\x" not in name:
        return name
    raw = _ESCAPE.sub(lambda found: "\\" if found[1] == "5c" else chr(0xDC00 + int(found[1], 16)), name)
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _check_characters(text: str) -> None:
    if "\0" in text:
        raise ToolError("invalid_path", "A path may not contain NUL.", text.replace("\0", "\\0"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        safe = text.encode("utf-8", "replace").decode()
        raise ToolError(
            "invalid_path", "A path may not contain lone surrogates; write bytes that are not UTF-8 as \\xHH.", safe
        ) from None


def _check_lengths(text: str, parts: list[str]) -> None:
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if any(size > MAX_NAME_BYTES for size in sizes):
        raise ToolError("name_too_long", f"A name may have at most {MAX_NAME_BYTES} bytes; shorten it.", text)
    if sum(sizes) + len(sizes) > MAX_PATH_BYTES:
        raise ToolError("name_too_long", f"A path may have at most {MAX_PATH_BYTES} bytes; shorten it.", text[:200])


def _refuse_climbing(text: str, names: list[str]) -> ToolError:
    clean: list[str] = []
    for name in names:
        if name != "..":
            clean.append(name)
        elif len(clean) > 1:
            clean.pop()
        else:
            return ToolError("outside_project", "The path climbs out of the project; stay below its id.", text)
    # Not collapsed silently: if `link` is a link, `link/..` is not the directory that it seems to be.
    return ToolError("invalid_path", f"Write the path without '..': {'/'.join(clean)}", text)
