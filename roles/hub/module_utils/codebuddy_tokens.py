"""Keys and tokens: what is signed, and when a token that is already there is still good. Knows no files and no Ansible.

Tokens are JSON Web Tokens (RFC 7519) signed with Ed25519 (RFC 8037). The private key stays on the host that provisions;
the hub holds the public key only and so can check tokens, but not make them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.types import Options

__all__ = [
    "ALGORITHM",
    "EVERY_PROJECT",
    "SCOPES",
    "TokenError",
    "TokenRequest",
    "generate_private_key",
    "key_id",
    "load_private_key",
    "parse_ttl",
    "public_pem",
    "reason_to_renew",
    "request_from",
    "sign",
]

ALGORITHM: Final = "EdDSA"
EVERY_PROJECT: Final = "*"
SCOPES: Final = ("read", "write", "run")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST: Final = 10 * 365 * 86400


# Claims are compared with the request one by one and the times against the caller's clock: PyJWT checks the signature.
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
    """Something in the request or the key is wrong; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class TokenRequest:
    """What a token is to say.

    Args:
        issuer: the fleet that issues it, ``codebuddy:<fleet>``.
        audience: the endpoint that it is for, ``codebuddy:client`` or ``codebuddy:link``.
        subject: whom it names; for a link the project's id.
        projects: ids that it covers, or ``("*",)`` for all.
        scopes: what it allows, out of ``SCOPES``.
        ttl: seconds from signing to expiry.
    """

    issuer: str
    audience: str
    subject: str
    projects: tuple[str, ...]
    scopes: tuple[str, ...]
    ttl: int

    def lasting_claims(self) -> dict[str, Any]:
        """Give the claims that do not depend on when it is signed: two tokens that agree in these say the same."""
        return {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.subject,
            "projects": list(self.projects),
            "scopes": list(self.scopes),
        }


def request_from(values: Mapping[str, Any], issuer: str) -> TokenRequest:
    """Check the plain values of a request and make it one.

    Raises:
        TokenError: no project, an unknown scope, or a life time that cannot be read.
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
    return TokenRequest(issuer, values["audience"], values["subject"], projects, scopes, parse_ttl(values["ttl"]))


def parse_ttl(text: str) -> int:
    """Turn ``30d``, ``12h``, ``45m``, ``90s`` or ``2w`` into seconds.

    Raises:
        TokenError: it is not of that form, or is zero, or over ten years.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if seconds > _LONGEST:
        raise TokenError(f"The life time {text!r} is too long; give at most ten years, {_LONGEST // _UNITS['d']}d.")
    if seconds <= 0:
        raise TokenError(f"The life time {text!r} is not one; write a number and a unit, such as 30d, 12h or 45m.")
    return seconds


def generate_private_key() -> bytes:
    """Make a new Ed25519 key; gives it as PKCS #8 PEM, not encrypted."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_key(pem: bytes, origin: str) -> Ed25519PrivateKey:
    """Read a key as ``generate_private_key`` gives it.

    Args:
        origin: where it comes from, for the error.

    Raises:
        TokenError: it is no readable Ed25519 private key.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        remedy = "restore it, or remove it to have a new one made"
        raise TokenError(f"The signing key {origin} is not a readable PEM private key; {remedy}.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TokenError(f"The signing key {origin} is not an Ed25519 key; remove it to have a new one made.")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Give the public key as SubjectPublicKeyInfo PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Ed25519PublicKey) -> str:
    """Name a key by its JWK thumbprint (RFC 7638 section 3, members as in RFC 8037 appendix A.3)."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return _base64url(hashlib.sha256(canonical).digest())


def sign(request: TokenRequest, key: Ed25519PrivateKey, now: int, token_id: str) -> str:
    """Make the token.

    Args:
        now: seconds since the epoch; the token is valid from then.
        token_id: a name no other token has (the claim ``jti``).
    """
    claims = {**request.lasting_claims(), "iat": now, "nbf": now, "exp": now + request.ttl, "jti": token_id}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": key_id(key.public_key())})


def reason_to_renew(token: str | None, request: TokenRequest, key: Ed25519PublicKey, now: int) -> str | None:
    """Say why a token must be made anew; None while key and claims are right and a third of its life is left."""
    if token is None:
        return "there is none"
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)
    except jwt.InvalidTokenError:
        return "it is not signed with the fleet's key"
    if header.get("kid") != key_id(key):
        return "it does not name the fleet's key"
    differing = [name for name, value in request.lasting_claims().items() if claims.get(name) != value]
    if differing:
        return f"it says something else in {', '.join(differing)}"
    return _reason_of_time(claims, request.ttl, now)


def _reason_of_time(claims: Mapping[str, Any], ttl: int, now: int) -> str | None:
    times: Sequence[Any] = [claims.get(name) for name in ("iat", "nbf", "exp")]
    if not all(isinstance(time, int) for time in times):
        return "it has no valid times"
    issued, valid_from, expires = times
    if expires - issued != ttl:
        return "its life time is another"
    if valid_from > now:
        return "it is not valid yet"
    if expires - now < ttl / 3:
        return "less than a third of its life is left"
    return None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
