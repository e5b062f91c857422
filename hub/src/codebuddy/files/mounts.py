"""What is mounted at a directory, and whether it is what the inventory expects there.

The fleet role looks at the host's directories with this file (a link in its module_utils leads here). It therefore uses
nothing but the standard library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MOUNTINFO = "/proc/self/mountinfo"

OWN_DISKS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "overlay"})
"""Types that a machine's own disks have: that such a one is there does not tell that another disk is mounted."""

# What other machines or programs change without this kernel knowing.
_SHARED = frozenset(
    {"9p", "virtiofs", "vboxsf", "prl_fs", "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph"}
    | {"lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "ocfs2", "gfs2", "vmhgfs", "fuse", "fuseblk"}
)
# What numbers its files anew when it forgets or renames them.
_WITHOUT_INODES = frozenset({"vfat", "msdos", "exfat", "vboxsf", "prl_fs", "vmhgfs", "smbfs", "fuse.sshfs"})
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo."""

    number: str
    point: str
    type: str
    root: str = "/"  # which directory of the file system is mounted: its path there now, wherever it was moved

    @property
    def is_shared(self) -> bool:
        """Whether others than this kernel may change it, of which inotify says nothing."""
        return self.type in _SHARED or self.type.startswith("fuse.")

    @property
    def keeps_inodes(self) -> bool:
        """Whether a file has the same inode for as long as it exists."""
        return self.type not in _WITHOUT_INODES


@dataclass(frozen=True)
class Expectation:
    """What must be mounted at a project's directory: a type of file system, or what has an entry of this name."""

    type: str = ""  # as mount(8) shows it; ``fuse`` stands for each of its subtypes
    marker: str = ""

    def __str__(self) -> str:
        return f"a file system of the type {self.type}" if self.type else f"a directory with {self.marker} in it"

    def unmet(self, directory: int) -> str | None:
        """Return what is there instead, for the end of a sentence; None if it is as expected.

        Raises:
            OSError: the open directory cannot be looked at.
        """
        if self.marker and not self._has_marker(directory):
            return f"a directory without {self.marker}"
        found = mount_of(directory) if self.type else None
        if self.type and (found is None or not f"{found.type}.".startswith(f"{self.type}.")):
            return f"a file system of the type {found.type if found else 'unknown'}"
        return None

    def _has_marker(self, directory: int) -> bool:
        try:
            os.stat(self.marker, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


def mount_of(descriptor: int) -> Mount | None:
    """Return what an open file is on; None if that is not mounted any more.

    Raises:
        OSError: /proc cannot be read.
    """
    with open(f"/proc/self/fdinfo/{descriptor}") as lines:
        number = next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")
    return next((mount for mount in mounts() if mount.number == number), None)


def shared_type(directory: str) -> str | None:
    """Return the type of a file system, at a directory or mounted below it, that others may change unseen, if any is.

    Raises:
        OSError: the directory cannot be opened, or /proc not be read.
    """
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        here = mount_of(descriptor)
    finally:
        os.close(descriptor)
    below = (mount for mount in mounts() if mount.point.startswith(os.path.join(directory, "")))
    return next((mount.type for mount in (here, *below) if mount is not None and mount.is_shared), None)


def mounts() -> Iterator[Mount]:
    """Yield all mounts that this process sees.

    Raises:
        OSError: /proc cannot be read.
    """
    with open(MOUNTINFO, errors="surrogateescape") as lines:
        for line in lines:
            own, _, rest = line.partition(" - ")
            fields = own.split(" ")
            yield Mount(fields[0], _plain(fields[4]), rest.split(" ")[0], _plain(fields[3]))


def _plain(path: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), path)
