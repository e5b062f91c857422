"""The one way in which a tool fails."""

from __future__ import annotations

__all__ = ["ToolError"]


class ToolError(Exception):
    """A failure that the caller can act on; it becomes a tool result with ``isError: true``.

    Args:
        code: short machine-readable name in snake_case, e.g. ``outside_project``.
        message: one sentence that says what is wrong and what to do.
        path: the workspace path that it is about, if there is one.
    """

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
