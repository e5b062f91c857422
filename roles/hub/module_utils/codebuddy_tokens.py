"""Keys and tokens: how tokens are signed, and when an existing one must be renewed. Independent of files and Ansible.

Tokens are JSON Web Tokens (RFC 7519) signed with Ed25519 (RFC 8037). The private key stays on the deploying host. The
hub has only the public key, and so can check tokens, but not sign them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from ansible.module_utils.codebuddy_arguments import duration_seconds
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.types import Options

ALGORITHM: Final = "EdDSA"
EVERY_PROJECT: Final = "*"
SCOPES: Final = ("read", "write", "run")
ALL_TOOLS: Final = "all"

# PyJWT checks only the signature. The claims are compared with the request, and the times with the caller's clock.
_SIGNATURE_ONLY: Final[Options] = {
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
    "verify_nbf": False,
    "verify_sub": False,
}


class TokenError(ValueError):
    """The request or the key is wrong; the message says what to do."""


@dataclass(frozen=True)
class TokenRequest:
    """The requested content of a token."""

    issuer: str  # ``codebuddy:<fleet>``
    audience: str  # the endpoint that accepts it: ``codebuddy:client`` or ``codebuddy:link``
    subject: str  # for a link, the project's id
    projects: tuple[str, ...]  # the ids that it covers, or ``("*",)`` for all
    scopes: tuple[str, ...]  # some of ``SCOPES``
    ttl: int  # seconds from signing to expiry
    tools: str = ALL_TOOLS  # the tools that its holder is offered: ``all`` that it may call, or ``lean``

    def lasting_claims(self) -> dict[str, Any]:
        """Return the claims that do not depend on the time of signing."""
        return {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.subject,
            "projects": list(self.projects),
            "scopes": list(self.scopes),
            **({} if self.tools == ALL_TOOLS else {"tools": self.tools}),
        }


def request_from(values: Mapping[str, Any], issuer: str) -> TokenRequest:
    """Return the request with these values.

    Raises:
        TokenError: no project, no scope or an unknown one, or an invalid lifetime.
    """
    projects = tuple(dict.fromkeys(values["projects"]))
    scopes = tuple(scope for scope in SCOPES if scope in values["scopes"])
    unknown = sorted(set(values["scopes"]) - set(SCOPES))
    if unknown:
        raise TokenError(f"There is no scope {unknown[0]!r}; take some of {', '.join(SCOPES)}.")
    if not scopes:
        raise TokenError(f"A token needs at least one scope; take some of {', '.join(SCOPES)}.")
    if not projects:
        raise TokenError(f"A token needs at least one project id, or {EVERY_PROJECT!r} for all projects.")
    ttl, tools = parse_ttl(values["ttl"]), values.get("tools", ALL_TOOLS)
    return TokenRequest(issuer, values["audience"], values["subject"], projects, scopes, ttl, tools)


def parse_ttl(text: str) -> int:
    """Convert a lifetime such as ``30d`` to seconds.

    Raises:
        TokenError: it is not a time, or is zero or over ten years.
    """
    try:
        return int(duration_seconds(text))
    except ValueError as error:
        raise TokenError(f"The lifetime {text!r} {error}.") from None


def generate_private_key() -> bytes:
    """Return a new Ed25519 key as unencrypted PKCS #8 PEM."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_key(pem: bytes, origin: str) -> Ed25519PrivateKey:
    """Load a key that ``generate_private_key`` returned.

    Args:
        pem: the key.
        origin: its path, for the error.

    Raises:
        TokenError: it is not a readable Ed25519 private key.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        remedy = "restore it, or remove it to have a new one created"
        raise TokenError(f"The signing key {origin} is not a readable PEM private key; {remedy}.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TokenError(f"The signing key {origin} is not an Ed25519 key; remove it to have a new one created.")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return the key as SubjectPublicKeyInfo PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the JWK thumbprint of a key (RFC 7638 section 3, members as in RFC 8037 appendix A.3)."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return _base64url(hashlib.sha256(canonical).digest())


def sign(request: TokenRequest, key: Ed25519PrivateKey, now: int, token_id: str) -> str:
    """Return a signed token.

    Args:
        request: its content.
        key: the signing key.
        now: seconds since the epoch, from which the token is valid.
        token_id: a unique id (the claim ``jti``).
    """
    claims = {**request.lasting_claims(), "iat": now, "nbf": now, "exp": now + request.ttl, "jti": token_id}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": key_id(key.public_key())})


def reason_to_renew(token: str | None, request: TokenRequest, key: Ed25519PublicKey, now: int) -> str | None:
    """Return why a token must be renewed; None while key and claims are right and a third of its lifetime is left."""
    if token is None:
        return "there is none"
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)
    except jwt.InvalidTokenError:
        return "it is not signed with the fleet's key"
    if header.get("kid") != key_id(key):
        return "it does not name the fleet's key"
    wanted = {"tools": None, **request.lasting_claims()}
    differing = [name for name, value in wanted.items() if claims.get(name) != value]
    if differing:
        return f"it has other {', '.join(differing)}"
    return _time_reason(claims, request.ttl, now)


def _time_reason(claims: Mapping[str, Any], ttl: int, now: int) -> str | None:
    times: Sequence[Any] = [claims.get(name) for name in ("iat", "nbf", "exp")]
    if not all(isinstance(time, int) for time in times):
        return "it has no valid times"
    issued, valid_from, expires = times
    if expires - issued != ttl:
        return "its lifetime differs"
    if valid_from > now:
        return "it is not valid yet"
    if expires - now < ttl / 3:
        return "less than a third of its lifetime is left"
    return None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
