"""Host, Origin and token are checked before anything else, for requests and upgrades alike."""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from codebuddy_testing.listeners import PUBLIC, open_listener, token

pytestmark = pytest.mark.anyio

NOW = int(time.time())


def unsigned() -> str:
    head = jwt.utils.base64url_encode(b'{"alg":"none","typ":"JWT"}').decode()
    return f"{head}.{token().split('.')[1]}."


def signed_with_the_public_key() -> str:
    """HS256 with the public key as the secret: a verifier that trusts the header's algorithm takes it."""
    import hashlib
    import hmac

    encode = jwt.utils.base64url_encode
    signing_input = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + token().split(".")[1].encode()
    return (signing_input + b"." + encode(hmac.new(PUBLIC, signing_input, hashlib.sha256).digest())).decode()


BAD_TOKENS: dict[str, Any] = {
    "no signature": unsigned,
    "HS256 with the public key": signed_with_the_public_key,
    "another key": lambda: token(key=Ed25519PrivateKey.generate()),
    "another audience": lambda: token(aud="codebuddy:link"),
    "another fleet": lambda: token(iss="codebuddy:other"),
    "expired": lambda: token(exp=NOW - 60),
    "not yet valid": lambda: token(nbf=NOW + 600),
    "without expiry": lambda: token(exp=None),
    "without projects": lambda: token(projects=None),
    "projects that are no list": lambda: token(projects="*"),
    "oversized": lambda: token(sub="x" * 4000),
    "not a token": lambda: "abc",
    "empty": lambda: "",
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_a_bad_token_is_refused_before_the_upgrade(kind: str) -> None:
    headers = {"Authorization": f"Bearer {BAD_TOKENS[kind]()}".strip()}
    async with open_listener() as listener:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{listener.port}/", additional_headers=headers, proxy=None)
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"http://127.0.0.1:{listener.port}/mcp", headers=headers, json={})
    assert refused.value.response.status_code == 401
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


HOSTS = [
    ("127.0.0.1:{port}", True),
    ("localhost:{port}", True),
    ("127.0.0.1", False),
    ("127.0.0.1.evil.com:{port}", False),
    ("evil.com", False),
    ("0.0.0.0:{port}", False),
    ("[::1]:1", False),
    ("localhost:{port}@evil.com", False),
]
ORIGINS: list[tuple[str | None, bool]] = [
    (None, True),
    ("null", False),
    ("http://localhost:{port}", True),
    ("http://127.0.0.1:{port}", True),
    ("https://localhost:{port}", False),
    ("localhost:{port}", False),
    ("http://localhost:{port}.evil.com", False),
    ("http://localhost:1", False),
    ("http://127.0.0.1", False),
    ("https://evil.com", False),
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "upgrade"])
async def test_only_our_own_hosts_and_no_web_page_get_in(method: str) -> None:
    wrong = []
    async with open_listener() as listener, httpx2.AsyncClient(trust_env=False) as http:
        for (host, host_good), (origin, origin_good) in itertools.product(HOSTS, ORIGINS):
            headers = {"Host": host.format(port=listener.port)}
            if origin is not None:
                headers["Origin"] = origin.format(port=listener.port)
            without_token = await _status(http, method, listener.port, headers)
            status = await _status(http, method, listener.port, {**headers, "Authorization": f"Bearer {token()}"})
            if host_good and origin_good:
                right = status not in (401, 403) and without_token == 401
            else:
                right = status == 403 and without_token == 403
            if not right:
                wrong.append((host, origin, status, without_token))
    assert wrong == []


async def _status(http: httpx2.AsyncClient, method: str, port: int, headers: dict[str, str]) -> int:
    url = f"http://127.0.0.1:{port}/mcp"
    if method == "upgrade":
        headers = {
            **headers,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        method = "GET"
    async with http.stream(method, url, headers=headers) as answer:
        return int(answer.status_code)


async def test_without_a_token_health_reports_the_overall_status_only() -> None:
    async with open_listener() as listener, httpx2.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{listener.port}/health"
        anonymous = await http.get(url)
        known = await http.get(url, headers={"Authorization": f"Bearer {token()}"})
        bad = await http.get(url, headers={"Authorization": "Bearer x"})
        page = await http.get(url, headers={"Origin": "https://evil.com"})
    assert (anonymous.status_code, anonymous.json()) == (200, {"status": "ok"})
    assert (known.status_code, known.json()["hub"]) == (503, "ok")
    assert (bad.status_code, page.status_code) == (401, 403)


@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server", "/register"]
)
async def test_a_client_that_looks_for_a_login_finds_none(path: str) -> None:
    async with open_listener() as listener, httpx2.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{listener.port}{path}"
        answers = [await http.get(url), await http.post(url, json={})]
        page = await http.get(url, headers={"Origin": "https://evil.com"})
    assert [answer.status_code for answer in answers] == [404, 404]
    assert page.status_code == 403


async def test_refused_upgrades_log_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with open_listener() as listener:
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{listener.port}/", proxy=None)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_session_cannot_be_used_with_another_users_token() -> None:
    start = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    async with open_listener() as listener, httpx2.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{listener.port}/mcp"
        mine = {**accept, "Authorization": f"Bearer {token()}"}
        theirs = {**accept, "Authorization": f"Bearer {token(sub='somebody else')}"}
        opened = await http.post(url, headers=mine, json=start)
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        stolen = await http.post(url, headers={**theirs, **session}, json=listing)
        own = await http.post(url, headers={**mine, **session}, json=listing)
    assert stolen.status_code == 404
    assert own.status_code == 200
