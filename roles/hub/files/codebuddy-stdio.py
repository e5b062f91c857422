#!/usr/bin/env python3
"""Connects an MCP client, on standard input and output, to the hub, and keeps the connection when the hub restarts.

    python3 -I codebuddy-stdio.py HUB [ARGUMENT...]

It runs ``docker exec -i HUB codebuddy start ARGUMENT...``, which ends whenever the hub's container ends, and then runs
it again. It needs nothing but Python 3.9 and ``docker``, so that a desktop application can start it on any host.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

Json = dict[str, Any]

LIMIT_SECONDS = 60.0
"""How long the hub may stay away. Replacing it takes a few seconds, and more on a busy machine."""

MAX_SENT = 3
"""How often a request is sent at most: one that makes the hub crash must not do so for ever."""

FIRST_DELAY, LONGEST_DELAY = 0.1, 1.0
"""Seconds between two attempts; the delay doubles."""

# A desktop application may have a short PATH.
SEARCH_PATH = ["/usr/local/bin", "/usr/bin", "/bin", "/snap/bin", "/opt/homebrew/bin"]

PING, INITIALIZE, LIST = ("codebuddy-stdio:" + name for name in ("ping", "initialize", "list"))
"""Ids of this program's own requests, whose answers the client does not see."""

RESTARTED = (
    "hub_restarted",
    "The hub was restarted while it worked on this; look at list_edits or list_jobs before repeating it.",
)
AWAY = ("hub_away", "The hub does not answer, so this was not done; `make status` says why, and `make up` starts it.")

# The beginning of an answer as the hub writes it. An answer may be long, so nothing more of it is read.
_ANSWER = re.compile(rb'\{"jsonrpc":"2\.0","id":(-?\d{1,19}|"[^"\\]{0,800}"),"(?:result|error)":')
_ERA = "io.modelcontextprotocol/"  # the prefix of what each request says of its client in the revision of 2026


class Message:
    """A line from the client: a request, or anything else, whose ``key`` is then None."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.sent = 0  # how often
        message = _parse(line)
        params = _object(message.get("params"))
        meta = _object(params.get("_meta"))
        method = message.get("method")
        self.method = method if isinstance(method, str) else None
        self.id = message.get("id")
        self.key = _key(self.id) if self.method is not None else None
        self.tool = json.dumps(params.get("name"))  # as JSON: whatever a client sends can be looked up
        self.cancels = _key(params.get("requestId")) if method == "notifications/cancelled" else None
        self.progress_token = meta.get("progressToken")
        self.client = {name: value for name, value in meta.items() if name.startswith(_ERA)}

    def failure(self, code: str, sentence: str) -> bytes:
        """Return the answer to a request that will get none from the hub."""
        if self.method != "tools/call":
            return _line({"jsonrpc": "2.0", "id": self.id, "error": {"code": -32603, "message": sentence}})
        result: Json = {
            "content": [{"type": "text", "text": code + ": " + sentence}],
            "isError": True,
            "_meta": {"codebuddy/error": {"code": code, "message": sentence}},
        }
        if self.client:
            result["resultType"] = "complete"
        return _line({"jsonrpc": "2.0", "id": self.id, "result": result})


class Session:
    """What the client asked and what the hub answered, over all connections to the hub. It does no I/O."""

    def __init__(self) -> None:
        self.is_up = False  # whether the hub has answered on the present connection
        self.outgoing: collections.deque[Message] = collections.deque()
        self._open: dict[Any, Message] = {}  # requests without an answer, oldest first
        self._undecided: list[Message] = []  # of those, calls that wait for the hub's list of tools
        self._initialize: Message | None = None
        self._initialized: Message | None = None
        self._read_only: set[str] | None = None  # names of tools that change nothing; None before a list was seen

    @property
    def is_delivered(self) -> bool:
        """Whether the hub has got all that there is."""
        return not self.outgoing and not self._undecided

    @property
    def is_answered(self) -> bool:
        """Whether nothing waits for the hub."""
        return not self.outgoing and not self._open

    def from_client(self, line: bytes) -> None:
        """Take a line of the client."""
        message = Message(line)
        if message.method == "initialize":
            self._initialize, self._initialized = message, None
        elif message.method == "notifications/initialized":
            self._initialized = message
        elif message.cancels is not None:
            cancelled = self._open.pop(message.cancels, None)
            if cancelled is not None and not cancelled.sent:
                return
        if message.key is not None:
            self._open[message.key] = message
        self.outgoing.append(message)

    def take(self) -> bytes | None:
        """Return the next line for the hub, which counts as sent from now on; None for one that was cancelled."""
        message = self.outgoing.popleft()
        if message.key is not None and self._open.get(message.key) is not message:
            return None
        message.sent += 1
        return message.line

    def from_hub(self, line: bytes) -> list[bytes]:
        """Take a line of the hub; return the lines for the client."""
        head = _ANSWER.match(line)
        message = _parse(b'{"id":' + head[1] + b"}" if head else line)
        answered = message.get("id")
        if "method" in message:
            return [] if self._is_late_progress(message) else [line]
        if answered == PING:
            self._on_up()
            return []
        if answered == LIST:
            self._learn(line)
            return self._decide()
        if answered == INITIALIZE:
            return []
        request = self._open.pop(_key(answered), None)
        if request is not None and request.method == "tools/list":
            self._learn(line)
        return [line]

    def on_down(self) -> list[bytes]:
        """Return the answers to requests that the hub, which is gone, may have worked on and must not repeat."""
        self.is_up = False
        self._undecided = []
        # Those of the previous connection that were not sent: they are found anew.
        self.outgoing = collections.deque(message for message in self.outgoing if not message.sent)
        return [self._fail(one, RESTARTED) for one in self._sent() if self._is_repeatable(one) is False]

    def give_up(self) -> list[bytes]:
        """Return the answers to all open requests."""
        open_ones = [*self._open.values()]
        return [self._fail(one, RESTARTED if one.sent and not self._is_repeatable(one) else AWAY) for one in open_ones]

    def _on_up(self) -> None:
        """Put before what is to be sent what this hub, which knows nothing, has to be told again."""
        self.is_up = True
        again = []
        opening, opened = self._initialize, self._initialized
        if opening is not None and opening.sent:
            is_open = self._open.get(opening.key) is opening
            again.append(opening if is_open else _own({**_parse(opening.line), "id": INITIALIZE}))
        if opened is not None and opened.sent:
            again.append(opened)
        sent = self._sent()
        self._undecided = [one for one in sent if self._is_repeatable(one) is None]
        if self._undecided:
            meta = {"params": {"_meta": self._undecided[0].client}} if self._undecided[0].client else {}
            again.append(_own({"jsonrpc": "2.0", "id": LIST, "method": "tools/list", **meta}))
        again += [one for one in sent if one is not opening and self._is_repeatable(one)]
        self.outgoing.extendleft(reversed(again))

    def _sent(self) -> list[Message]:
        return [one for one in self._open.values() if one.sent]

    def _is_repeatable(self, request: Message) -> bool | None:
        """Whether to send a request again; None while it is not known whether its tool changes anything.

        Nothing but a tool changes anything.
        """
        if request.sent >= MAX_SENT:
            return False
        if request.method != "tools/call":
            return True
        return None if self._read_only is None else request.tool in self._read_only

    def _decide(self) -> list[bytes]:
        """Send again, or answer, the calls that waited for the list of tools, which has come."""
        waiting = [one for one in self._undecided if one.key in self._open]
        self._undecided = []
        self.outgoing.extend(one for one in waiting if self._is_repeatable(one))
        return [self._fail(one, RESTARTED) for one in waiting if not self._is_repeatable(one)]

    def _fail(self, request: Message, error: tuple[str, str]) -> bytes:
        self._open.pop(request.key, None)
        return request.failure(*error)

    def _learn(self, line: bytes) -> None:
        """Remember which tools an answer to ``tools/list`` declares as read-only."""
        tools = _object(_parse(line).get("result")).get("tools")
        if not isinstance(tools, list):
            return
        known = self._read_only or set()
        for tool in tools:
            is_read_only = _object(_object(tool).get("annotations")).get("readOnlyHint") is True
            (known.add if is_read_only else known.discard)(json.dumps(_object(tool).get("name")))
        self._read_only = known

    def _is_late_progress(self, message: Json) -> bool:
        if message["method"] != "notifications/progress":
            return False
        token = _object(message.get("params")).get("progressToken")
        return all(one.progress_token != token for one in self._open.values())


def _own(message: Json) -> Message:
    """Return a request of this program, which concerns one connection only."""
    own = Message(_line(message))
    own.key, own.sent = None, 1
    return own


def _line(message: Json) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes) -> Json:
    """Return the message in a line; an empty one for anything else."""
    try:
        return _object(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _key(value: object) -> tuple[bool, Any] | None:
    """Return the key of a request's id in a dictionary; None if it is no id. The ids 1 and "1" differ."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return isinstance(value, str), value


class Bridge:
    """Runs the command that connects to the hub, again and again, and copies lines between it and the client.

    Args:
        command: the command, which ends when the connection does.
        limit: how long the hub may stay away, in seconds.
    """

    def __init__(self, command: list[str], limit: float) -> None:
        self._command = command
        self._limit = limit
        self._session = Session()
        self._changed = threading.Condition()  # guards the session and the next three
        self._input_ended = False
        self._connection_ended = False
        self._is_delivered = False  # all of the client's input was sent to the hub, whose own input was closed then
        self._process: subprocess.Popen[bytes] | None = None
        self._complaint = b""  # the last words of the command

    def run(self) -> int:
        """Return the exit status: 0 at the end of the client's input, 1 if the hub cannot be reached."""
        threading.Thread(target=self._read_client, daemon=True).start()
        away_since, delay, was_up = time.monotonic(), FIRST_DELAY, False
        try:
            while True:
                if self._connect(away_since + self._limit):
                    away_since, delay, was_up = time.monotonic(), FIRST_DELAY, True
                with self._changed:
                    answers = self._session.on_down()
                    is_idle = was_up and self._input_ended and self._session.is_answered
                if self._is_delivered or is_idle:
                    return 0
                _write_all(1, b"".join(answers))
                if time.monotonic() + delay > away_since + self._limit or not (was_up or self._is_starting()):
                    self._give_up(was_up)
                    return 1
                time.sleep(delay)
                delay = min(2 * delay, LONGEST_DELAY)
        except BrokenPipeError:
            return 0  # the client is gone
        finally:
            self._end_process(patience=0)

    def _connect(self, deadline: float) -> bool:
        """Run the command until it ends; return whether the hub answered."""
        self._complaint, self._connection_ended = b"", False
        pipe = subprocess.PIPE
        path = os.pathsep.join([os.environ.get("PATH") or os.defpath, *SEARCH_PATH])
        environment = {**os.environ, "PATH": path}
        try:
            process = subprocess.Popen(self._command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        except OSError as error:
            self._complaint = f"{self._command[0]}: {error.strerror}".encode()
            return False
        self._process = process
        output = process.stdout
        assert output is not None
        # Whoever does not answer in time is not waited for: the engine may hang, or the hub.
        watch = threading.Timer(max(deadline - time.monotonic(), 0), process.kill)
        threads = [threading.Thread(target=one, args=(process,), daemon=True) for one in (self._send, self._listen)]
        watch.daemon = True
        for thread in (watch, *threads):
            thread.start()
        was_up = False
        for line in _lines(output.fileno()):
            if not line.endswith(b"\n"):
                break  # the hub ended while it wrote
            with self._changed:
                answers = self._session.from_hub(line)
                self._changed.notify_all()
            if not was_up and self._session.is_up:
                was_up = True
                watch.cancel()
            _write_all(1, b"".join(answers))
        watch.cancel()
        self._end_process(patience=1)
        with self._changed:
            self._connection_ended = True
            self._changed.notify_all()
        for thread in threads:
            thread.join(1)
        return was_up

    def _send(self, process: subprocess.Popen[bytes]) -> None:
        """Send the hub what the client wants, until the connection or the client's input ends."""
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            # Its answer tells that the hub is there. Until then nothing of the client is sent, so that nothing is lost.
            _write_all(stream.fileno(), _line({"jsonrpc": "2.0", "id": PING, "method": "ping"}))
            while True:
                with self._changed:
                    self._changed.wait_for(self._has_something_to_do)
                    if self._connection_ended:
                        return
                    if self._session.is_delivered:
                        self._is_delivered = True
                        return
                    line = self._session.take()
                    self._changed.notify_all()
                if line is not None:
                    _write_all(stream.fileno(), line)

    def _has_something_to_do(self) -> bool:
        session = self._session
        is_finished = self._input_ended and session.is_delivered
        return self._connection_ended or (session.is_up and (bool(session.outgoing) or is_finished))

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Keep the end of what the command says on standard error."""
        assert process.stderr is not None
        with process.stderr as stream:
            while chunk := os.read(stream.fileno(), 4096):
                self._complaint = (self._complaint + chunk)[-2000:]

    def _read_client(self) -> None:
        with contextlib.suppress(OSError):
            for line in _lines(0):
                with self._changed:
                    # The client is read no faster than the hub reads, if there is one.
                    self._changed.wait_for(lambda: not (self._session.is_up and self._session.outgoing))
                    self._session.from_client(line if line.endswith(b"\n") else line + b"\n")
                    self._changed.notify_all()
        with self._changed:
            self._input_ended = True
            self._changed.notify_all()

    def _is_starting(self) -> bool:
        """Whether the container is there, but not the hub in it yet."""
        return b"the hub does not answer" in self._complaint or b"is restarting" in self._complaint

    def _give_up(self, was_up: bool) -> None:
        with self._changed:
            answers = self._session.give_up()
        words = self._complaint.decode(errors="replace").strip().splitlines() or ["no answer"]
        what = f"The hub did not come back within {self._limit:.0f} s" if was_up else "The hub cannot be reached"
        print(
            f"codebuddy-stdio: {what}: {words[-1]}\nIn CodeBuddy's directory, `make status` says what is wrong, and "
            "`make up` starts the fleet.",
            file=sys.stderr,
        )
        _write_all(1, b"".join(answers))

    def _end_process(self, patience: float) -> None:
        """End the command, after some seconds in which it may end by itself."""
        process = self._process
        if process is None:
            return
        for end in (process.terminate, process.kill):
            try:
                process.wait(patience)
                return
            except subprocess.TimeoutExpired:
                end()
                patience = 2
        process.wait()


def _lines(descriptor: int) -> Iterator[bytes]:
    """Yield each line with its end; the last one may lack it."""
    parts: list[bytes] = []
    while chunk := os.read(descriptor, 65536):
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for other in others:
            yield b"".join([*parts, b"\n"])
            parts = [other]
    if rest := b"".join(parts):
        yield rest


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _end_on_signal(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main(arguments: list[str], limit: float = LIMIT_SECONDS) -> int:
    """Run the program; return its exit status."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: codebuddy-stdio.py HUB [ARGUMENT of codebuddy start ...]", file=sys.stderr)
        return 2
    # A pipe would take the number of a standard stream that is closed.
    if sys.stdin is None:
        return 0  # there is nothing to send
    if sys.stdout is None:
        print("codebuddy-stdio: standard output is closed; start it with both streams open.", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end_on_signal)
    hub, *others = arguments
    return Bridge(["docker", "exec", "-i", hub, "codebuddy", "start", *others], limit).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
