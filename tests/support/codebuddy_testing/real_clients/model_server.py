"""A server on loopback that speaks as the model services do, and answers with what a script says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from codebuddy_testing.real_clients.script import ScriptedModel
from codebuddy_testing.real_clients.wires import anthropic, chat, gemini, plain, responses

WIRES: tuple[Any, ...] = (anthropic, chat, gemini, plain, responses)


@dataclass
class ModelServer:
    """A running server: its address, and what was asked of it."""

    url: str
    model: ScriptedModel
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@contextmanager
def model_server(model: ScriptedModel) -> Iterator[ModelServer]:
    """Serve a scripted model on a free port of loopback."""

    class Bound(_Handler):
        served: ClassVar[ModelServer]

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        server.daemon_threads = True
        Bound.served = ModelServer(f"http://127.0.0.1:{server.server_port}", model)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Bound.served
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: ClassVar[ModelServer]

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        wire = next((wire for wire in WIRES if wire.PATH.match(self.path)), None)
        if wire is None:
            self._refuse()
            return
        self.served.requests.append((self.path, body))
        answer = self.served.model.answer(wire.read(body))
        reply = wire.write(answer, body, self.path)
        self._send(200, reply.content_type, reply.body)

    def do_GET(self) -> None:
        if self.path.split("?")[0].rstrip("/").endswith("/models"):
            models = {"object": "list", "data": [{"id": "scripted", "object": "model"}], "models": []}
            self._send(200, "application/json", json.dumps(models).encode())
        else:
            self._refuse()

    def _refuse(self) -> None:
        self.served.unknown.append(f"{self.command} {self.path}")
        self._send(404, "application/json", b'{"error": {"message": "not served", "type": "not_found_error"}}')

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # A client that was killed no longer reads.
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: what was asked is in `ModelServer`."""
