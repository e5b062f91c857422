"""The secrets that a project declares: names, and files of the host that its spoke gets copies of.

A value that is wrong is never shown: it may be the secret itself, written where its path belongs.
"""

from __future__ import annotations

import os.path
import re
from typing import Any

from .reading import Reader

__all__ = ["read_secrets"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")


def read_secrets(reader: Reader, value: Any) -> dict[str, str]:
    """Give the name of each secret in the spoke, and its file on the host; those that are wrong are left out."""
    if not isinstance(value, dict):
        reader.say("secrets must map names to files, like {npmrc: ~/.config/my-service/npmrc}.")
        return {}
    found: dict[str, str] = {}
    for name, path in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            what = f"has the name {name!r}, which is not one of a file"
            reader.say(f"secrets {what}: use at most 63 letters, digits, '.', '_' and '-', and no '.' or '-' first.")
        elif not isinstance(path, str) or not os.path.isabs(path):
            what = "that of the file that holds it (or one that begins with ~), not the secret itself"
            reader.say(f"secrets gives {name} no absolute path: write {what}.")
        elif "\0" in path or "\n" in path:
            reader.say(f"secrets gives {name} a path with a line break or NUL character in it: rename the file.")
        else:
            found[name] = path
    return found
