"""The service: measurements in, a summary out, both as JSON over HTTP."""

from __future__ import annotations

import json
from dataclasses import asdict
from http import HTTPStatus
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from service.processing import Measurement, process_data


def summarise(body: bytes) -> tuple[HTTPStatus, dict[str, object]]:
    """Answer one request.

    Args:
        body: a JSON object of names and numbers, such as ``{"depth": 2.5}``.

    Returns:
        The status and the JSON object to answer with.
    """
    try:
        numbers = json.loads(body)
        summary = process_data([Measurement(name, float(value)) for name, value in numbers.items()])
    except (AttributeError, TypeError, ValueError) as error:
        return HTTPStatus.BAD_REQUEST, {"error": str(error)}
    return HTTPStatus.OK, asdict(summary)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Serve WSGI."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    status, answer = summarise(environ["wsgi.input"].read(length))
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


if __name__ == "__main__":
    with make_server("127.0.0.1", 8000, application) as server:
        server.serve_forever()
