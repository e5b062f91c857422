"""JSON-RPC 2.0 messages: what they are made of. Nothing here sends or waits."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

__all__ = [
    "ANSWER_TOO_LONG",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "NOT_A_MESSAGE",
    "Params",
    "RemoteError",
    "error_of",
    "is_id",
    "is_number",
    "key_of",
    "message_of",
]

Params = dict[str, Any]

MAX_ID_CHARACTERS: Final = 200
"""An id is given back with the answer: a longer one would have us keep what it holds."""

_MAX_ID: Final = 2**63

# JSON-RPC 2.0, section 5.1.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
# Ours, of those that are left to servers.
ANSWER_TOO_LONG: Final = -32050


class RemoteError(Exception):
    """An error in place of a result; what the other side answered, or what it is to be answered.

    Args:
        code: of JSON-RPC or MCP.
        message: a sentence.
        data: more, if there is more.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def message_of(request_id: int | str | None = None, **members: Any) -> Params:
    """Give a message with an id (an error has one in any case) and members, of which absent ``params`` are left out."""
    message: Params = {"jsonrpc": "2.0"}
    if request_id is not None or "error" in members:
        message["id"] = request_id
    if members.get("params", ...) is None:
        del members["params"]
    return message | members


def error_of(code: int, message: str, data: Any = None) -> Params:
    """Give the ``error`` member of a message."""
    return {"code": code, "message": message} | ({} if data is None else {"data": data})


NOT_A_MESSAGE: Final = message_of(error=error_of(PARSE_ERROR, "This is not a JSON-RPC 2.0 message."))


def is_id(value: object) -> TypeGuard[int | str]:
    """Say whether a value can be the id of a request."""
    if isinstance(value, str):
        return len(value) <= MAX_ID_CHARACTERS
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID


def is_number(value: object) -> TypeGuard[int | float]:
    """Say whether a value is a number; in Python, true and false are too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def key_of(value: int | str) -> int | str:
    """Give what an id is known by: some clients give a number back as a string."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value
