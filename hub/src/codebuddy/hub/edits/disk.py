"""Every call of an edit that changes something on the disk.

The engine does nothing to the disk but through these functions, so a test can stop it before and after each of them.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from codebuddy.files.confinement import exchange as _exchange
from codebuddy.files.confinement import rename_new as _rename_new
from codebuddy.hub.edits.draft import spare_name


def create_file(directory: int, name: str, content: bytes) -> int:
    """Create a file that only its owner may read, write it, and give the open descriptor, which the caller closes."""
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
    """Create a symbolic link; its owner as far as the user's rights allow."""
    os.symlink(os.fsdecode(target), name, dir_fd=directory)
    if owner is not None:
        with suppress(OSError):
            os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)


def set_attributes(fd: int, owner: tuple[int, int] | None, mode: int, attributes: dict[str, bytes]) -> None:
    """Give a file its owner, mode and extended attributes; the first and last as far as the user's rights allow."""
    kept = owner is None or _chown(fd, *owner)
    # Set-user-id for another user than before would be a gift.
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
        with suppress(OSError):  # the group alone may be changed to one that the user is in
            os.fchown(fd, -1, group)
        return False
    return True


def change_mode(directory: int, name: str, mode: int) -> None:
    """Set the mode of a file or directory, not following a link."""
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def overwrite(fd: int, content: bytes) -> None:
    """Write a file's whole content in place."""
    rest, offset = memoryview(content), 0
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
    os.ftruncate(fd, len(content))


def exchange(directory: int, temporary: str, name: str) -> None:
    """Swap two names of a directory in one step.

    Where the file system has no such step, the file gets `spare_name` first, and is nowhere without a name.

    Raises:
        FileNotFoundError: one of them is not there.
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
    """Move a name, within a directory or between two, never over something that exists.

    Raises:
        FileExistsError: the new name is taken.
    """
    try:
        _rename_new(source, name, target, new_name)
        return
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
    # A file system that cannot promise it: the look just before has to do.
    try:
        os.stat(new_name, dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name)


def remove_file(directory: int, name: str) -> None:
    """Remove a file or link; nothing there is fine, and so is a directory, which is not ours."""
    with suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=directory)


def remove_tree(directory: int, name: str) -> None:
    """Remove a file, link, or directory with all that is in it, following nothing; nothing there is fine.

    Not by recursion: how deep a tree is, its project decides.
    """
    try:
        os.unlink(name, dir_fd=directory)
        return
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass
    open_ones: list[tuple[int, str]] = [(_open_own(directory, name), name)]
    try:
        while open_ones:
            fd, own_name = open_ones[-1]
            inner = _remove_files(fd)
            if inner is not None:
                open_ones.append((_open_own(fd, inner), inner))
                continue
            os.close(open_ones.pop()[0])
            os.rmdir(own_name, dir_fd=open_ones[-1][0] if open_ones else directory)
    finally:
        for fd, _ in open_ones:
            os.close(fd)


def _remove_files(directory: int) -> str | None:
    """Remove what is in a directory up to the first directory; give the name of that, or None when it is empty."""
    for child in os.listdir(directory):
        try:
            os.unlink(child, dir_fd=directory)
        except FileNotFoundError:
            continue
        except IsADirectoryError:
            return child
    return None


def _open_own(directory: int, name: str) -> int:
    """Open a directory whatever its mode, so that it can be emptied."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, os.O_PATH | flags, dir_fd=directory)
    try:
        if stat.S_IMODE(os.fstat(handle).st_mode) & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
    return os.open(name, os.O_RDONLY | flags, dir_fd=directory)


def append(fd: int, data: bytes) -> None:
    """Append to a file that was opened for it."""
    _write_all(fd, data)


def truncate(fd: int, size: int) -> None:
    """Cut a file."""
    os.ftruncate(fd, size)


def sync(fd: int) -> None:
    """Wait until a file, or a directory's names, are on the disk."""
    os.fsync(fd)


def sync_data(fd: int) -> None:
    """Wait until a file's content is on the disk, and its size."""
    os.fdatasync(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
