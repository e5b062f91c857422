"""What a server leaves out of a search without saying so, as far as its declaration tells."""

from __future__ import annotations

from codebuddy.code.asking import Answer, Asked
from codebuddy.code.words import look_for_word
from codebuddy.language.changes import remaining

__all__ = ["beyond_limits"]

_MISSING = "so it may not have found all."


async def beyond_limits(asked: Asked, word: str | None) -> Answer | None:
    """Give why a server may not find all that has a name; None when it can, or has no limits.

    Args:
        asked: whom, and how long.
        word: the name; None when it is not known.
    """
    limits = asked.server.config.limits
    if not limits:
        return None
    name, most, parsed = asked.server.config.name, limits.get("searched_files"), limits.get("parsed_files")
    if word is not None and len(word) < limits.get("shortest_name", 0):
        parsed, why = 1, f"{name} looks for a name as short as {word!r} in one file only, {_MISSING}"
    else:
        why = f"{name} looks closely at {parsed} files only, and {word!r} stands in more, {_MISSING}"
    files = found = 0
    async for looked in look_for_word(
        asked.server.tree, word or "", lambda path: asked.server.config.language_of(path) is not None
    ):
        files, found = files + looked.files, found + len(looked.found)
        if looked.cut is not None:
            return Answer(None, reason="truncated", message=looked.cut)
        if most is not None and files > most:
            message = f"{name} looks into {most} files only, and the project has more, {_MISSING}"
            return Answer(None, reason="truncated", message=message)
        if word is not None and parsed is not None and found > parsed:
            return Answer(None, reason="truncated", message=why)
        if remaining(asked.deadline) == 0:
            message = f"{name} looks into a limited number of files only; time was over before they were counted."
            return Answer(None, reason="timed_out", message=message)
    return None
