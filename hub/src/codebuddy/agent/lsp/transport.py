"""JSON-RPC with a language server over two byte streams: framing (no I/O), and a session of requests and notifications.

A frame is a header of ``Name: value`` lines, an empty line, and ``Content-Length`` bytes of JSON (LSP 3.17, "Base
Protocol"). The server is not trusted: the decoder accepts lengths only up to a limit, and returns a :class:`BadFrame`
for unreadable input instead of raising.

    state     bytes so far                 next
    header    no empty line yet            header, or broken when longer than ``MAX_HEADER``
    header    empty line, good length      body
    header    empty line, bad length       broken
    body      fewer than the length        body
    body      all                          header; a message, or a BadFrame that is not fatal
    broken    anything                     broken; the bytes are dropped
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

log = logging.getLogger(__name__)

Message = dict[str, Any]

METHOD_NOT_FOUND: Final = -32601
MAX_HEADER: Final = 8 * 1024
MAX_CONTENT: Final = 16 * 1024 * 1024
_MAX_UNSENT: Final = 64 * 1024 * 1024
_MAX_ERROR: Final = 400  # characters
_READ_SIZE: Final = 64 * 1024


@dataclass(frozen=True)
class BadFrame:
    """A frame that is not a message. After a fatal one the start of the next frame is unknown."""

    reason: str
    fatal: bool


def encode(message: Message) -> bytes:
    """Return the frame of a message."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Decoder:
    """Cuts a stream of bytes into messages of at most ``max_content`` bytes."""

    def __init__(self, max_content: int = MAX_CONTENT) -> None:
        self._buffer = bytearray()
        self._max_content = max_content
        self._length: int | None = None
        self._broken = False

    def feed(self, data: bytes) -> list[Message | BadFrame]:
        """Add bytes, cut anywhere; give the messages that they complete, in order."""
        if self._broken:
            return []
        self._buffer += data
        found: list[Message | BadFrame] = []
        while (item := self._next()) is not None:
            found.append(item)
            if isinstance(item, BadFrame) and item.fatal:
                self._broken = True
                self._buffer.clear()
                break
        return found

    def _next(self) -> Message | BadFrame | None:
        if self._length is None:
            problem = self._read_header()
            if problem is not None or self._length is None:
                return problem
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = None
        return _parse(body)

    def _read_header(self) -> BadFrame | None:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEADER)
        if end < 0:
            if len(self._buffer) >= MAX_HEADER:
                return BadFrame(f"a header of more than {MAX_HEADER} bytes", fatal=True)
            return None
        length = _content_length(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if length is None:
            return BadFrame("a header without a usable Content-Length", fatal=True)
        if length > self._max_content:
            return BadFrame(f"a message of {length} bytes, over the limit of {self._max_content}", fatal=True)
        self._length = length
        return None


def _content_length(header: bytes) -> int | None:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        digits = value.strip()
        if name.strip().lower() == b"content-length" and digits.isdigit() and len(digits) <= 15:
            return int(digits)
    return None


def _parse(body: bytes) -> Message | BadFrame:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):  # bad UTF-8 and numbers of too many digits are ValueErrors too
        return BadFrame("a body that is not JSON", fatal=False)
    if not isinstance(message, dict):
        return BadFrame("a body that is not a JSON object", fatal=False)
    return message


class SessionClosed(Exception):
    """The server is gone; the message says why."""


class RequestTimedOut(Exception):
    """The server did not answer in time; the request was cancelled."""


class MethodNotFound(Exception):
    """The client does not support a request that the server sent."""


class ServerError(Exception):
    """The server answered a request with a JSON-RPC error; ``method`` is None until the request is known."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.method: str | None = None


class Session:
    """Requests and notifications in both directions. Sending raises SessionClosed once the server is gone.

    The callbacks must not block; ``on_request`` gives the result, or raises MethodNotFound.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_request: Callable[[str, Any], Any],
        on_notification: Callable[[str, Any], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_request = on_request
        self._on_notification = on_notification
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._closed: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server is still connected."""
        return self._closed is None

    def require_open(self) -> None:
        """Raise SessionClosed if the server is gone."""
        if self._closed is not None:
            raise SessionClosed(self._closed)

    async def run(self) -> str:
        """Read until the stream ends or becomes unreadable; fail the pending requests and give the reason."""
        decoder = Decoder()
        reason = "the session was ended"
        try:
            while data := await self._reader.read(_READ_SIZE):
                for item in decoder.feed(data):
                    self._handle(item)
                # A server that sends requests and never reads would make us keep its answers without bound.
                if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT:
                    raise SessionClosed("the server does not read what it is sent")
            reason = "the server closed its output"
        except SessionClosed as closed:
            reason = str(closed)
        except OSError as error:
            reason = f"the server's output cannot be read: {error.strerror}"
        except Exception as error:
            # E.g. an answer that is nested too deeply. Whatever it is, only this server's session ends.
            log.exception("a message from a language server could not be handled")
            reason = f"what the server said could not be handled ({type(error).__name__})"
        finally:
            self._close(reason)
        return reason

    async def request(self, method: str, params: Any, seconds: float) -> Any:
        """Send a request and wait for its result; on timeout or cancellation the server gets ``$/cancelRequest``.

        Raises:
            RequestTimedOut, ServerError, SessionClosed: there is no result.
        """
        future = self.send_request(method, params)
        ident = self._last_id
        try:
            async with asyncio.timeout(seconds):
                await self.flush()
                return await future
        except TimeoutError:
            raise RequestTimedOut(f"no answer to {method} within {seconds:.1f} s") from None
        except ServerError as error:
            error.method = method
            raise
        finally:
            if self._pending.pop(ident, None) is not None and self._closed is None:
                self._write({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": ident}})

    def send_request(self, method: str, params: Any) -> asyncio.Future[Any]:
        """Queue a request behind everything sent before, without waiting for it to be written; see :meth:`flush`.

        The future completes in order with the server's messages: a notification that follows the answer finds it done.
        """
        self._write({"jsonrpc": "2.0", "id": self._last_id + 1, "method": method, "params": params})
        self._last_id += 1
        future = self._pending[self._last_id] = asyncio.get_running_loop().create_future()
        return future

    def notify(self, method: str, params: Any) -> None:
        """Queue a notification behind everything sent before; see :meth:`flush`."""
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    async def flush(self) -> None:
        """Wait until everything queued is written, except for what fits in the transport's buffer."""
        try:
            await self._writer.drain()
        except OSError:
            raise SessionClosed("the server closed its input") from None

    def _write(self, message: Message) -> None:
        self.require_open()
        self._writer.write(encode(message))

    def _handle(self, item: Message | BadFrame) -> None:
        if isinstance(item, BadFrame):
            if item.fatal:
                raise SessionClosed(f"the server sent {item.reason}")
            return  # one unreadable message; a request that waits for it times out
        method = item.get("method")
        if not isinstance(method, str):
            self._complete(item)
        elif isinstance(item.get("id"), (str, int)):
            self._reply(item["id"], method, item.get("params"))
        else:
            self._on_notification(method, item.get("params"))

    def _complete(self, response: Message) -> None:
        ident = response.get("id")
        future = self._pending.pop(ident, None) if isinstance(ident, int) else None
        if future is None or future.done():
            return
        error = response.get("error")
        if error is None:
            future.set_result(response.get("result"))
            return
        code, text = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
        words = text[:_MAX_ERROR] if isinstance(text, str) else "unknown error"
        future.set_exception(ServerError(code if isinstance(code, int) else 0, words))

    def _reply(self, ident: Any, method: str, params: Any) -> None:
        reply: Message = {"jsonrpc": "2.0", "id": ident}
        try:
            reply["result"] = self._on_request(method, params)
        except MethodNotFound:
            reply["error"] = {"code": METHOD_NOT_FOUND, "message": f"this client does not know {method}"}
        self._write(reply)

    def _close(self, reason: str) -> None:
        self._closed = reason
        for future in self._pending.values():
            if not future.done():
                future.set_exception(SessionClosed(reason))
                future.exception()  # mark as retrieved: the caller may have been cancelled meanwhile
        self._pending.clear()
