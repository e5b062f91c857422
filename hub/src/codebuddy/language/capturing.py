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
        #: What it asks the user, or would show.
        self.questions: list[str] = []

    def take(self, method: str, params: Any) -> dict[str, Any] | None:
        """Take a request of the server; give the result, or None for one that is answered as always."""
        given = params if isinstance(params, dict) else {}
        if method == "workspace/applyEdit":
            if len(self.edits) >= _MAX_EDITS:
                return {"applied": False, "failureReason": "These are too many edits for one command."}
            self.edits.append(given.get("edit"))
            return {"applied": True}
        if method in ("window/showMessageRequest", "window/showDocument"):
            said = given.get("message", given.get("uri"))
            self.questions.append(str(said)[:_MAX_TEXT])
        return None
