"""Encodings that a project may declare for its files.

The fleet role checks an inventory with this file (a link in its module_utils leads here). It therefore uses nothing but
the standard library.
"""

from __future__ import annotations

import codecs
from typing import Final

# As `codecs.lookup` calls them. All of them have ASCII in one byte, and no byte of a longer character is a line break.
_ALLOWED: Final = frozenset([
    "big5", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "cp932", "cp949", "cp950", "euc_jp", "euc_kr",
    "gb18030", "gb2312", "gbk", "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "koi8-r",
    "koi8-u", "shift_jis", "utf-8",
])  # fmt: skip
EXAMPLES: Final = "latin-1, cp1252, iso-8859-15, shift_jis, cp932, euc-jp, gb18030, gbk, big5, euc-kr, cp1251, koi8-r"


def codec_of(name: object) -> str | None:
    """Return the codec of an encoding by any of its names; None if it may not be declared."""
    if not isinstance(name, str):
        return None
    try:
        found = codecs.lookup({"windows-31j": "cp932"}.get(name.lower(), name)).name
    except (LookupError, ValueError):
        return None
    return found if found in _ALLOWED else None
