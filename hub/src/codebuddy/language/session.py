"""A session: JSON-RPC with one language server over a pair of streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from codebuddy.language.framing import BadFrame, Decoder, Message, encode

__all__ = ["METHOD_NOT_FOUND", "MethodNotFound", "RequestTimedOut", "ServerError", "Session", "SessionClosed"]

log = logging.getLogger(__name__)

METHOD_NOT_FOUND: Final = -32601
_MAX_UNSENT: Final = 64 * 1024 * 1024
_READ_SIZE: Final = 64 * 1024


class SessionClosed(Exception):
    """The server is gone; the message says why."""


class RequestTimedOut(Exception):
    """The server did not answer in time; it was told that the answer is no longer wanted."""


class MethodNotFound(Exception):
    """Raised by the client's side for a request that it does not know."""


class ServerError(Exception):
    """The server answered with an error.

    Args:
        code: the JSON-RPC error code.
        message: what the server says.

    Attributes:
        method: the request; None until it is known.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.method: str | None = None


class Session:
    """Requests and notifications both ways.

    Args:
        reader: what the server writes.
        writer: what the server reads.
        answer: gives the result of a request that the server makes; must not block; MethodNotFound for an unknown one.
        notice: takes a notification from the server; must not block.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[str, Any], Any],
        notice: Callable[[str, Any], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answer = answer
        self._notice = notice
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._closed: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server is there."""
        return self._closed is None

    def require_open(self) -> None:
        """Do nothing while the server is there.

        Raises:
            SessionClosed: it is gone.
        """
        if self._closed is not None:
            raise SessionClosed(self._closed)

    async def run(self) -> str:
        """Read until the stream ends or makes no more sense; give the reason. Pending requests fail with it."""
        decoder = Decoder()
        reason = "the session was ended"
        try:
            while data := await self._reader.read(_READ_SIZE):
                for item in decoder.feed(data):
                    self._take(item)
                # A server that asks and never reads would make us keep its answers for ever.
                if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT:
                    raise SessionClosed("the server does not read what it is sent")
            reason = "the server closed its output"
        except SessionClosed as closed:
            reason = str(closed)
        except OSError as error:
            reason = f"the server's output cannot be read: {error.strerror}"
        except Exception as error:
            # Whatever it was, like an answer nested too deeply to be taken apart: it costs this server only.
            log.exception("what a language server said could not be handled")
            reason = f"what the server said could not be handled ({type(error).__name__})"
        finally:
            self._close(reason)
        return reason

    async def request(self, method: str, params: Any, seconds: float) -> Any:
        """Ask, and wait for the result for at most so many seconds.

        When the time is over or the caller is cancelled, the server gets ``$/cancelRequest``.

        Raises:
            RequestTimedOut: no answer in time.
            ServerError: the server answered with an error.
            SessionClosed: the server went away before it answered.
        """
        future = self.ask(method, params)
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

    def ask(self, method: str, params: Any) -> asyncio.Future[Any]:
        """Send a request, in order with all that was sent before, without waiting; see :meth:`flush`.

        The future is done at the place that the answer has among what the server says: a notification after it finds
        it done.

        Raises:
            SessionClosed: the server is gone.
        """
        self._write({"jsonrpc": "2.0", "id": self._last_id + 1, "method": method, "params": params})
        self._last_id += 1
        future = self._pending[self._last_id] = asyncio.get_running_loop().create_future()
        return future

    def notify(self, method: str, params: Any) -> None:
        """Send a notification: it stands in order with all that was sent before, without waiting. See :meth:`flush`.

        Raises:
            SessionClosed: the server is gone.
        """
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    async def flush(self) -> None:
        """Wait until what was sent is with the server, but for a pipe's fill.

        Raises:
            SessionClosed: the server is gone.
        """
        try:
            await self._writer.drain()
        except OSError:
            raise SessionClosed("the server closed its input") from None

    def _write(self, message: Message) -> None:
        self.require_open()
        self._writer.write(encode(message))

    def _take(self, item: Message | BadFrame) -> None:
        if isinstance(item, BadFrame):
            if item.fatal:
                raise SessionClosed(f"the server sent {item.reason}")
            return  # one unreadable message among others: whoever waits for it gets a time-out
        method = item.get("method")
        if not isinstance(method, str):
            self._settle(item)
        elif isinstance(item.get("id"), (str, int)):
            self._reply(item["id"], method, item.get("params"))
        else:
            self._notice(method, item.get("params"))

    def _settle(self, message: Message) -> None:
        ident = message.get("id")
        future = self._pending.pop(ident, None) if isinstance(ident, int) else None
        if future is None or future.done():
            return
        error = message.get("error")
        if error is None:
            future.set_result(message.get("result"))
            return
        details = error if isinstance(error, dict) else {}
        code = details.get("code")
        text = details.get("message")
        words = text[:400] if isinstance(text, str) else "unknown error"
        future.set_exception(ServerError(code if isinstance(code, int) else 0, words))

    def _reply(self, ident: Any, method: str, params: Any) -> None:
        reply: Message = {"jsonrpc": "2.0", "id": ident}
        try:
            reply["result"] = self._answer(method, params)
        except MethodNotFound:
            reply["error"] = {"code": METHOD_NOT_FOUND, "message": f"this client does not know {method}"}
        self._write(reply)

    def _close(self, reason: str) -> None:
        self._closed = reason
        for future in self._pending.values():
            if not future.done():
                future.set_exception(SessionClosed(reason))
                future.exception()  # seen: a caller that was cancelled meanwhile leaves no "never retrieved" warning
        self._pending.clear()
