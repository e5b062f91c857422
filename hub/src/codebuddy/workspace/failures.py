"""What the operating system refuses, in words that a caller can act on."""

from __future__ import annotations

import errno

from codebuddy.errors import ToolError
from codebuddy.workspace.paths import WorkspacePath

__all__ = ["about", "as_tool_error"]

_LINK_OUT = (
    "outside_project",
    "The path leads through a link that leaves the project; "
    "only relative links that stay inside are followed. Name the file itself.",
)
_FULL = ("disk_full", "There is no room left for the file (disk, quota or size limit); the old content is untouched.")
_FORBIDDEN = ("permission_denied", "The hub's user may not do this; check the owner and mode of the path.")

_BY_ERRNO = {
    errno.ENOENT: ("not_found", "There is nothing at this path; list its directory or use find_files."),
    errno.EXDEV: _LINK_OUT,
    errno.ELOOP: ("too_many_links", "The path leads through a link that cannot be followed, or in a circle."),
    errno.ENOTDIR: ("not_a_directory", "A part of the path that should be a directory is not one."),
    errno.EISDIR: ("is_a_directory", "This is a directory; give the path of a file."),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENAMETOOLONG: ("name_too_long", "A name in the path, or the path itself, is too long for the file system."),
    errno.EROFS: ("read_only", "This part of the project is mounted read-only."),
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.ENXIO: ("not_a_file", "This is a socket or a device, not a regular file."),
    errno.ENODEV: ("not_a_file", "This is a device, not a regular file."),
    errno.EINVAL: ("invalid_path", "The file system does not accept this name."),
    errno.EILSEQ: ("invalid_path", "The file system does not accept this name."),
    errno.EAGAIN: ("busy", "Another process holds this file or keeps moving it; try again."),
    errno.EBUSY: ("busy", "Another process or mount holds this path; try again."),
    errno.ETXTBSY: ("busy", "The file is a program that is running; stop it and try again."),
    errno.EMFILE: ("busy", "The hub has too many files open; try again."),
    errno.ENFILE: ("busy", "The machine has too many files open; try again."),
}


def as_tool_error(error: OSError, path: WorkspacePath) -> ToolError:
    """Say what an operating system error means for the caller."""
    number = error.errno or 0
    unknown = ("io_error", f"The operating system refused: {error.strerror or error} ({errno.errorcode.get(number)}).")
    code, message = _BY_ERRNO.get(number, unknown)
    return ToolError(code, message, str(path))


class about:  # noqa: N801  reads as what it is in a with statement; a class, for it is on the path of every call
    """Turn what goes wrong inside into a ToolError that names the path."""

    __slots__ = ("_path",)

    def __init__(self, path: WorkspacePath) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise as_tool_error(error, self._path) from error
        if isinstance(error, ToolError):
            error.path = error.path or str(self._path)
