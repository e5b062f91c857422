"""The claims of tokens, and when an existing token is kept."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from ansible.module_utils.codebuddy_tokens import (
    TokenError,
    TokenRequest,
    generate_private_key,
    key_id,
    load_private_key,
    parse_ttl,
    public_pem,
    reason_to_renew,
    request_from,
    sign,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

NOW = 1_800_000_000
DAY = 86400
KEY = load_private_key(generate_private_key(), "a")
OTHER_KEY = load_private_key(generate_private_key(), "b")
REQUEST = TokenRequest("codebuddy:test", "codebuddy:link", "project-a", ("project-a",), ("read", "write"), 30 * DAY)
TOKEN = sign(REQUEST, KEY, NOW, "1")


def changed(**values: Any) -> TokenRequest:
    return TokenRequest(**{**REQUEST.__dict__, **values})


def test_a_token_is_verified_with_the_public_key_and_has_the_requested_claims() -> None:
    claims = jwt.decode(
        sign(changed(ttl=10 * 365 * DAY), KEY, 1_700_000_000, "1"),
        public_pem(KEY.public_key()),
        algorithms=["EdDSA"],
        audience="codebuddy:link",
        issuer="codebuddy:test",
        options={"verify_iat": False},
    )
    assert claims["projects"] == ["project-a"]
    assert claims["scopes"] == ["read", "write"]
    assert claims["sub"] == "project-a"


def test_a_token_is_valid_from_now_for_its_lifetime() -> None:
    claims = jwt.decode(TOKEN, options={"verify_signature": False})
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (NOW, NOW, NOW + 30 * DAY)


def test_the_key_id_is_the_thumbprint_of_rfc_8037() -> None:
    # RFC 8037 appendix A.2 gives the key, A.3 its thumbprint.
    key = jwt.algorithms.OKPAlgorithm.from_jwk(
        json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    )
    assert key_id(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_valid_token_is_kept() -> None:
    assert reason_to_renew(TOKEN, REQUEST, KEY.public_key(), NOW + 19 * DAY) is None


@pytest.mark.parametrize(
    ("token", "request_", "now", "words"),
    [
        (None, REQUEST, NOW, "there is none"),
        ("", REQUEST, NOW, "not signed"),
        ("not.a.token", REQUEST, NOW, "not signed"),
        (TOKEN[:-6] + "AAAAAA", REQUEST, NOW, "not signed"),
        (sign(REQUEST, OTHER_KEY, NOW, "1"), REQUEST, NOW, "not signed"),
        (jwt.encode(REQUEST.lasting_claims(), KEY, "EdDSA"), REQUEST, NOW, "name the fleet's key"),
        (TOKEN, changed(scopes=("read",)), NOW, "scopes"),
        (TOKEN, changed(projects=("project-a", "project-b")), NOW, "projects"),
        (TOKEN, changed(tools="lean"), NOW, "tools"),
        (sign(changed(tools="lean"), KEY, NOW, "1"), REQUEST, NOW, "tools"),
        (TOKEN, changed(audience="codebuddy:client"), NOW, "aud"),
        (TOKEN, changed(issuer="codebuddy:other"), NOW, "iss"),
        (TOKEN, changed(subject="project-b"), NOW, "sub"),
        (TOKEN, changed(ttl=60 * DAY), NOW, "lifetime"),
        (TOKEN, REQUEST, NOW + 21 * DAY, "third"),
        (TOKEN, REQUEST, NOW + 40 * DAY, "third"),
        (TOKEN, REQUEST, NOW - DAY, "not valid yet"),
    ],
)
def test_a_token_is_renewed_when(token: str | None, request_: TokenRequest, now: int, words: str) -> None:
    assert words in (reason_to_renew(token, request_, KEY.public_key(), now) or "kept")


def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_not_kept() -> None:
    header = {"alg": "HS256", "typ": "JWT", "kid": key_id(KEY.public_key())}
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    parts = [jwt.utils.base64url_encode(json.dumps(part).encode()) for part in (header, REQUEST.lasting_claims())]
    signature = jwt.utils.base64url_encode(mac.sign(b".".join(parts), public_pem(KEY.public_key())))
    forged = b".".join([*parts, signature]).decode()
    assert reason_to_renew(forged, REQUEST, KEY.public_key(), NOW) == "it is not signed with the fleet's key"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 30 * DAY), ("12h", 43200), ("45m", 2700), ("90s", 90), ("2w", 14 * DAY), (" 1d ", DAY)],
)
def test_a_lifetime_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_ttl(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5h", "30 d", "30days", "\u0661d"])
def test_an_invalid_lifetime_is_refused_with_the_notation(text: str) -> None:
    with pytest.raises(TokenError, match="like 30d"):
        parse_ttl(text)


@pytest.mark.parametrize("text", ["3651d", "20000d", "999999999w"])
def test_a_lifetime_over_ten_years_is_refused_as_too_long(text: str) -> None:
    with pytest.raises(TokenError, match=f"'{text}' is too long: give at most ten years, 3650d"):
        parse_ttl(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scopes": ["read", "admin"]}, "no scope 'admin'"),
        ({"scopes": []}, "at least one scope"),
        ({"projects": []}, "at least one project"),
    ],
)
def test_an_invalid_request_is_refused(values: dict[str, Any], words: str) -> None:
    good = {"audience": "codebuddy:client", "subject": "me", "projects": ["*"], "scopes": ["read"], "ttl": "1d"}
    with pytest.raises(TokenError, match=words):
        request_from({**good, **values}, "codebuddy:test")


def test_the_order_and_repetition_of_requested_scopes_and_projects_do_not_matter() -> None:
    good = {"audience": "codebuddy:link", "subject": "project-a", "ttl": "30d"}
    first = request_from({**good, "projects": ["project-a"] * 2, "scopes": ["write", "read", "read"]}, "codebuddy:test")
    assert first == REQUEST


def test_a_key_of_another_kind_is_refused() -> None:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(TokenError, match=r"keys/signing\.key is not an Ed25519 key"):
        load_private_key(pem, "keys/signing.key")


@pytest.mark.parametrize("pem", [b"", b"no key", public_pem(KEY.public_key())])
def test_an_invalid_private_key_is_refused(pem: bytes) -> None:
    with pytest.raises(TokenError, match="not a readable PEM private key"):
        load_private_key(pem, "x")
