"""Edits that a server asks its client to make while it runs a command: taken down, and not made."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["Capture"]

_MAX_EDITS: Final = 100
_MAX_TEXT: Final = 500


class Capture:
    """What a server asks for during one command."""

    def __init__(self) -> None:
        self.edits: list[Any] = []
        #: What it asks the user.
        self.questions: list[str] = []
        #: Pages that it would have opened.
        self.pages: list[str] = []

    def take(self, method: str, params: Any) -> dict[str, Any] | None:
        """Take a request of the server; give the result, or None for one that is answered as always."""
        given = params if isinstance(params, dict) else {}
        if method == "workspace/applyEdit":
            if len(self.edits) >= _MAX_EDITS:
                return {"applied": False, "failureReason": "These are too many edits for one command."}
            self.edits.append(given.get("edit"))
            return {"applied": True}
        if method == "window/showMessageRequest":
            self.questions.append(str(given.get("message"))[:_MAX_TEXT])
        if method == "window/showDocument":
            self.pages.append(str(given.get("uri"))[:_MAX_TEXT])
        return None
