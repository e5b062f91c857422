"""Access to the hub: checks Host and Origin, then turns a token into a principal, before any protocol is spoken."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import jwt
from pydantic_core import to_json
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from codebuddy.tool import ALL_SCOPES, PROFILES, Principal
from codebuddy.wire.mcp_server import PRINCIPAL_KEY

CLIENT_AUDIENCE = "codebuddy:client"
LINK_AUDIENCE = "codebuddy:link"
MAX_TOKEN_BYTES = 4096
MAX_ADMITTED = 256
LEEWAY_SECONDS = 5

log = logging.getLogger(__name__)


class AccessDenied(Exception):
    """A request that is refused before any protocol is spoken.

    Args:
        status: the HTTP status, 401 for a token that is missing or bad, 403 for a wrong Host or Origin, 400 for an
            address that asks for what there is not.
        message: one sentence for the person who set up the client.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = to_json({"error": message}).decode()
        self.headers = {"www-authenticate": "Bearer"} if status == 401 else {}


class TokenVerifier:
    """Turns a signed token into a principal. It has only the public key (Ed25519, PEM), so it cannot make tokens.

    Tokens of another fleet are refused, even when both fleets use one key.
    """

    def __init__(self, public_key: bytes, fleet: str) -> None:
        self._key = public_key
        self._issuer = f"codebuddy:{fleet}"

    @classmethod
    def load(cls, path: Path, fleet: str) -> TokenVerifier:
        """Read the public key from a file."""
        return cls(path.read_bytes(), fleet)

    def verify(self, token: str, audience: str) -> Principal:
        """Check signature, algorithm, issuer, audience and times (RFC 7519, section 7.2; leeway 5 s).

        Raises:
            AccessDenied: 401, with a reason that contains nothing of the token.
        """
        remedy = "run: make up" if audience == LINK_AUDIENCE else "make a new one with: make token"
        if len(token) > MAX_TOKEN_BYTES:
            raise AccessDenied(401, f"The token is too long to be one of ours; {remedy}.")
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["EdDSA"],  # fixed here, never taken from the token's own header
                audience=audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "nbf", "aud", "iss", "sub", "projects", "scopes"]},
            )
        except jwt.ExpiredSignatureError:
            raise AccessDenied(401, f"The token has expired; {remedy}.") from None
        except jwt.PyJWTError as error:
            log.info("refused a token: %s", error)
            raise AccessDenied(401, f"The token is not valid here; {remedy}.") from None
        projects, scopes, tools = claims["projects"], claims["scopes"], claims.get("tools", "all")
        if not all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in (projects, scopes)):
            raise AccessDenied(
                401, "The token's projects and scopes are not lists of names; make one with: make token."
            )
        if tools not in PROFILES:
            raise AccessDenied(401, "The token's tools are neither all nor lean; make one with: make token.")
        return Principal(
            subject=str(claims["sub"]),
            projects=None if projects == ["*"] else frozenset(projects),
            scopes=frozenset(scopes) & ALL_SCOPES,
            expires_at=float(claims["exp"]),
            tools=tools,
        )


class AccessPolicy:
    """Decides on a request by its headers alone: Host, then Origin, then token.

    Args:
        verifier: checks tokens.
        audience: ``codebuddy:client`` or ``codebuddy:link``.
        hosts: accepted values of Host, with the port; any other is a rebound DNS name (CVE-2025-66414).
    """

    def __init__(self, verifier: TokenVerifier, audience: str, hosts: Collection[str]) -> None:
        self._verifier = verifier
        self._audience = audience
        self._names = ", ".join(sorted(hosts))
        self._hosts = frozenset(host.encode() for host in hosts)
        self._origins = frozenset(b"http://" + host for host in self._hosts)
        self._admitted: OrderedDict[tuple[bytes | None, ...], Principal] = OrderedDict()

    def admit(self, headers: Mapping[bytes, bytes], query: bytes) -> Principal:
        """Return the principal of a request, with the profile of tools that its address asks for; or AccessDenied.

        The same three headers are checked once, but the end of the token each time.
        """
        key = headers.get(b"host"), headers.get(b"origin"), headers.get(b"authorization")
        principal = self._admitted.pop(key, None)
        if principal is None or (principal.expires_at or math.inf) <= time.time() - LEEWAY_SECONDS:
            self.check_source(headers)
            principal = self._authenticate(headers)
        self._admitted[key] = principal
        if len(self._admitted) > MAX_ADMITTED:
            self._admitted.popitem(last=False)
        return _with_profile(principal, query) if query else principal

    def check_source(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise AccessDenied (403) when the request was not sent to one of our names, or was sent by a web page."""
        if headers.get(b"host", b"").lower() not in self._hosts:
            raise AccessDenied(403, f"This hub does not answer to that Host; use one of: {self._names}.")
        # Web pages always send an Origin, and none of them is ours; a few programs send the hub's own address.
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in self._origins:
            raise AccessDenied(403, "Requests from web pages are refused; connect with a program that sends no Origin.")

    def _authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AccessDenied(401, "Send a token: Authorization: Bearer <token>; make one with: make token.")
        return self._verifier.verify(token.strip(), self._audience)


def _with_profile(principal: Principal, query: bytes) -> Principal:
    """Return the principal with the profile of tools that the address asks for, like ``/mcp?tools=lean``, if any."""
    wanted = QueryParams(query).get("tools", principal.tools)
    if wanted not in PROFILES:
        raise AccessDenied(400, "The address asks for tools that are neither all nor lean: write /mcp?tools=lean.")
    return replace(principal, tools=wanted)


class AccessGuard:
    """ASGI middleware that checks Host, Origin and token before any request or upgrade reaches the application.

    Args:
        app: the application; it finds the principal in the scope.
        policy: decides.
        open_paths: paths that may be requested without a token; the principal is None then. One that ends with a
            slash stands for all below it.
        check: raises AccessDenied for a principal that must not use this listener.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: AccessPolicy,
        open_paths: frozenset[str] = frozenset(),
        check: Callable[[Scope, Principal], None] = lambda _scope, _principal: None,
    ) -> None:
        self._app = app
        self._policy = policy
        self._open_paths = open_paths
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._admit(scope)
            except AccessDenied as denied:
                response = Response(denied.body, denied.status, denied.headers, "application/json")
                if scope["type"] == "websocket":
                    # ASGI's denial response extension: an HTTP answer in place of the upgrade
                    await WebSocket(scope, receive, send).send_denial_response(response)
                else:
                    await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return any(path == one or (one.endswith("/") and path.startswith(one)) for one in self._open_paths)

    def _admit(self, scope: Scope) -> None:
        # Of a name that is repeated, the first one counts.
        headers = dict(reversed(scope["headers"]))
        if b"authorization" not in headers and self._is_open(scope["path"]):
            self._policy.check_source(headers)
            scope[PRINCIPAL_KEY] = None
            return
        principal = scope[PRINCIPAL_KEY] = self._policy.admit(headers, scope.get("query_string", b""))
        self._check(scope, principal)
