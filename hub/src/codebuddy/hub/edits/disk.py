"""Every call that changes the disk for an edit.

Edits change nothing except through these functions, so tests can stop an edit before and after each of them.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from codebuddy.files.confinement import exchange as _exchange
from codebuddy.files.confinement import rename_no_replace as _rename_new
from codebuddy.hub.edits.disk_view import spare_name


def create_file(directory: int, name: str, content: bytes) -> int:
    """Create and write a file of mode 0o600; the caller closes the descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        _write_all(fd, content)
    except BaseException:
        os.close(fd)
        raise
    return fd


def create_directory(directory: int, name: str, mode: int) -> None:
    """Create a directory."""
    os.mkdir(name, mode, dir_fd=directory)


def create_link(directory: int, name: str, target: bytes, owner: tuple[int, int] | None) -> None:
    """Create a symbolic link, and set its owner if the hub's user may."""
    os.symlink(os.fsdecode(target), name, dir_fd=directory)
    if owner is not None:
        with suppress(OSError):
            os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)


def set_attributes(fd: int, owner: tuple[int, int] | None, mode: int, attributes: dict[str, bytes]) -> None:
    """Set a file's mode, and its owner and extended attributes if the hub's user may."""
    kept = owner is None or _chown(fd, *owner)
    # Without the old owner, set-user-id would give rights to another user.
    os.fchmod(fd, mode if kept else mode & 0o777)
    for name, value in attributes.items():
        with suppress(OSError):
            os.setxattr(fd, name, value)


def _chown(fd: int, owner: int, group: int) -> bool:
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) == (owner, group):
        return True
    try:
        os.fchown(fd, owner, group)
    except OSError:
        with suppress(OSError):  # a user may give a file to a group that they are in
            os.fchown(fd, -1, group)
        return False
    return True


def change_mode(directory: int, name: str, mode: int) -> None:
    """Set the mode of a file or directory, without following links."""
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def overwrite(fd: int, content: bytes) -> None:
    """Replace a file's whole content in place."""
    rest, offset = memoryview(content), 0
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
    os.ftruncate(fd, len(content))


def exchange(directory: int, temporary: str, name: str) -> None:
    """Exchange two names in a directory atomically.

    Where the file system cannot, the file first gets `spare_name` as a second name, so it always has one.
    """
    try:
        _exchange(directory, temporary, directory, name)
        return
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
    spare = spare_name(temporary)
    with suppress(FileNotFoundError):
        os.unlink(spare, dir_fd=directory)
    os.link(name, spare, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.rename(spare, temporary, src_dir_fd=directory, dst_dir_fd=directory)


def rename(source: int, name: str, target: int, new_name: str) -> None:
    """Rename a file or directory; raises `FileExistsError` instead of replacing something."""
    try:
        _rename_new(source, name, target, new_name)
        return
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
    # The file system cannot check and rename atomically, so check just before.
    try:
        os.stat(new_name, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)


def remove_file(directory: int, name: str) -> None:
    """Remove a file or link if it exists; a directory of this name is not the edit's, and stays."""
    with suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=directory)


def remove_tree(directory: int, name: str) -> None:
    """Remove a file, a link, or a directory with everything in it, if it exists; links are not followed.

    Not recursive: the project decides how deep the tree is.
    """
    try:
        os.unlink(name, dir_fd=directory)
        return
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass
    opened: list[tuple[int, str]] = [(_open_own(directory, name), name)]
    try:
        while opened:
            fd, own_name = opened[-1]
            inner = _remove_files(fd)
            if inner is not None:
                opened.append((_open_own(fd, inner), inner))
                continue
            os.close(opened.pop()[0])
            os.rmdir(own_name, dir_fd=opened[-1][0] if opened else directory)
    finally:
        for fd, _ in opened:
            os.close(fd)


def _remove_files(directory: int) -> str | None:
    """Remove files until the first directory comes, and give its name; None if the directory is empty now."""
    for child in os.listdir(directory):
        try:
            os.unlink(child, dir_fd=directory)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            return child
    return None


def _open_own(directory: int, name: str) -> int:
    """Open a directory to empty it, whatever its mode."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, os.O_PATH | flags, dir_fd=directory)
    try:
        if stat.S_IMODE(os.fstat(handle).st_mode) & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
    return os.open(name, os.O_RDONLY | flags, dir_fd=directory)


def append(fd: int, data: bytes) -> None:
    """Append to a file that was opened with ``O_APPEND``."""
    _write_all(fd, data)


def truncate(fd: int, size: int) -> None:
    """Truncate a file."""
    os.ftruncate(fd, size)


def sync(fd: int) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    os.fsync(fd)


def sync_data(fd: int) -> None:
    """Wait until a file's content and size are on the disk."""
    os.fdatasync(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
