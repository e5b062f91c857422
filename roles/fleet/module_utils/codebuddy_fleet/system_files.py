"""Files of a spoke's system that depend on the declaration: its users and groups, and git's configuration.

The images do not contain them, because fleets with different users share images.
"""

from __future__ import annotations

# Those of Debian (base-passwd), so that the owners of its files have names.
_USERS = (
    "root:x:0:0:root:/root:/bin/bash",
    *(
        f"{name}:x:{uid}:{gid}:{name}:{home}:/usr/sbin/nologin"
        for name, uid, gid, home in (
            ("daemon", 1, 1, "/usr/sbin"), ("bin", 2, 2, "/bin"), ("sys", 3, 3, "/dev"), ("sync", 4, 65534, "/bin"),
            ("games", 5, 60, "/usr/games"), ("man", 6, 12, "/var/cache/man"), ("lp", 7, 7, "/var/spool/lpd"),
            ("mail", 8, 8, "/var/mail"), ("news", 9, 9, "/var/spool/news"), ("uucp", 10, 10, "/var/spool/uucp"),
            ("proxy", 13, 13, "/bin"), ("www-data", 33, 33, "/var/www"), ("backup", 34, 34, "/var/backups"),
            ("list", 38, 38, "/var/list"), ("irc", 39, 39, "/run/ircd"), ("_apt", 42, 65534, "/nonexistent"),
            ("nobody", 65534, 65534, "/nonexistent"),
        )
    ),
)  # fmt: skip
_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "mail": 8, "news": 9,
    "uucp": 10, "man": 12, "proxy": 13, "kmem": 15, "dialout": 20, "fax": 21, "voice": 22, "cdrom": 24, "floppy": 25,
    "tape": 26, "sudo": 27, "audio": 29, "dip": 30, "www-data": 33, "backup": 34, "operator": 37, "list": 38,
    "irc": 39, "src": 40, "shadow": 42, "utmp": 43, "video": 44, "sasl": 45, "plugdev": 46, "staff": 50, "games": 60,
    "users": 100, "nogroup": 65534,
}  # fmt: skip

# Git looks at the owner of a repository because another user could have put it in the way of this one. In a spoke, all
# that a repository can make git do its programs may do anyway, and a project may belong to another user.
# Worktrees of the project elsewhere on the host do not exist in the spoke: after some months, a commit there would
# remove what the repository knows of them.
_GITCONFIG = "[safe]\n\tdirectory = *\n[gc]\n\tworktreePruneExpire = never\n"


def passwd(name: str, uid: int, gid: int, home: str) -> str:
    """Return the content of ``/etc/passwd``. The spoke's own user is first, as it may have the number of another."""
    return "\n".join([f"{name}:x:{uid}:{gid}:{name}:{home}:/bin/bash", *_USERS, ""])


def group(name: str, gid: int) -> str:
    """Return the content of ``/etc/group``."""
    return "".join(f"{one}:x:{number}:\n" for one, number in ({name: gid} | _GROUPS).items())


def gitconfig(author: str) -> str:
    """Return a configuration for git, over which that of the user and that of a repository take precedence.

    Args:
        author: the author of commits, as ``name <address>``; "": nobody.
    """
    if not author:
        return _GITCONFIG
    name, _, address = author.removesuffix(">").rpartition(" <")
    return f"{_GITCONFIG}[user]\n\tname = {_quoted(name.strip())}\n\temail = {_quoted(address)}\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
