"""Tokens of an outside service: what is accepted, and what a refusal says."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.test import override_settings
from rest_framework.test import APIClient

from tests.tokens import TokenService, bearer, nobody

pytestmark = pytest.mark.django_db

READ, WRITE = "media_store_read", "media_store_write"


def ask(client: APIClient) -> tuple[int, Any]:
    answer = client.get("/entities")
    return answer.status_code, answer.json().get("detail")


def test_a_token_of_the_service_is_accepted(service: TokenService) -> None:
    assert ask(bearer(service.token(READ))) == (200, None)


def test_the_bearer_is_kept_with_what_it_writes(service: TokenService) -> None:
    answer = bearer(service.token(WRITE, id="user-7")).post(
        "/entities", {"is_collection": "true", "label": "x"}
    )
    assert answer.json()["added_by"] == "user-7"


@pytest.mark.parametrize(
    "claims",
    [
        {"id": 7},
        {"id": ""},
        {"id": "7" * 256},
        {"id": "7\0"},
        {"id": None},
        {"is_admin": 1},
        {"is_admin": "true"},
        {"permissions": READ},
        {"permissions": {READ: True}},
        {"permissions": [1]},
        {"exp": None},
        {"exp": "9999999999"},
    ],
    ids=str,
)
def test_claims_are_checked_strictly(service: TokenService, claims: dict[str, Any]) -> None:
    assert ask(bearer(service.token(**claims))) == (401, "JWT payload is invalid")


@pytest.mark.parametrize("exp", ["soon", [1], float("inf"), float("nan"), {}], ids=str)
def test_an_expiry_that_is_no_time_is_refused(service: TokenService, exp: Any) -> None:
    assert ask(bearer(service.token(exp=exp)))[0] == 401


def test_left_out_claims_grant_nothing(service: TokenService) -> None:
    client = bearer(service.token(permissions=None, is_admin=None))
    assert ask(client) == (200, None)
    assert client.post("/entities").status_code == 403


@pytest.mark.parametrize(
    "extra", [{"aud": "others"}, {"iss": "others"}, {"sub": 7}, {"jti": 7}, {"iat": "x"}, {"x": 1}], ids=str
)
def test_other_claims_are_ignored(service: TokenService, extra: dict[str, Any]) -> None:
    assert ask(bearer(service.token(READ, **extra))) == (200, None)


def test_a_token_expires(service: TokenService) -> None:
    status, detail = ask(bearer(service.token(READ, exp=time.time() - 1)))
    assert status == 401
    assert "expired" in detail


def test_a_token_of_tomorrow_is_refused(service: TokenService) -> None:
    assert ask(bearer(service.token(READ, nbf=time.time() + 600)))[0] == 401


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def deep() -> str:
    return base64.urlsafe_b64encode(b"[" * 100_000).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "junk",
        "a.b.c",
        "ä.ö.ü",
        f"{part({'alg': 'none'})}.{part({'id': '1', 'is_admin': True, 'exp': 9999999999})}.",
        f"{part({'alg': 'ES256'})}.{part({'id': '1', 'exp': 9999999999})}.AAAA",
        f"{part([])}.{part([])}.AAAA",
        f"{deep()}.{part({})}.AAAA",
        "x" * 100_000,
    ],
    ids=lambda token: token[:20],
)
def test_what_is_no_token_is_refused(service: TokenService, token: str) -> None:
    assert ask(bearer(token)) == (401, "Could not validate credentials")


def test_another_services_token_is_refused(service: TokenService) -> None:
    assert ask(bearer(TokenService().token(READ))) == (401, "Could not validate credentials")


def test_the_public_key_is_no_secret_to_sign_with(service: TokenService, public_key: Path) -> None:
    payload = {"id": "1", "is_admin": True, "exp": time.time() + 600}
    header = part({"alg": "HS256", "typ": "JWT"})
    signed = jwt.api_jws.PyJWS().get_algorithm_by_name("HS256")
    text = f"{header}.{part(payload)}"
    signature = base64.urlsafe_b64encode(signed.sign(text.encode(), public_key.read_bytes())).rstrip(b"=")
    assert ask(bearer(f"{text}.{signature.decode()}"))[0] == 401


def test_a_refusal_says_how_to_log_in(service: TokenService) -> None:
    for client in (bearer("junk"), nobody()):
        answer = client.post("/entities")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert nobody().post("/entities").json() == {"detail": "Authentication required"}


@pytest.mark.parametrize("header", ["Basic YWRtaW46YWRtaW4=", "Token x", "bearer", "Bearer"])
def test_only_bearer_is_a_token(service: TokenService, header: str) -> None:
    client = nobody()
    client.credentials(HTTP_AUTHORIZATION=header)
    assert ask(client)[0] == (401 if header.lower() == "bearer" else 200)


def test_the_scheme_is_read_in_any_case(service: TokenService) -> None:
    client = nobody()
    client.credentials(HTTP_AUTHORIZATION=f"bEARER   {service.token(WRITE)}")
    assert client.post("/entities").status_code == 422


def test_a_new_key_needs_no_restart(service: TokenService, public_key: Path) -> None:
    other = TokenService()
    assert ask(bearer(other.token(READ)))[0] == 401
    stat = public_key.stat()
    other.install(public_key)
    os.utime(public_key, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert ask(bearer(other.token(READ)))[0] == 200
    assert ask(bearer(service.token(READ)))[0] == 401


def test_without_a_key_no_token_is_accepted(public_key: Path) -> None:
    assert ask(nobody())[0] == 200
    status, detail = ask(bearer(TokenService().token(READ)))
    assert status == 401
    assert "no public key is installed" in detail


def other_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        other_pem(ec.generate_private_key(ec.SECP384R1())),
        other_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    ],
    ids=["empty", "junk", "another curve", "RSA", "a private key"],
)
def test_a_key_file_that_is_none_is_the_servers_fault(public_key: Path, content: bytes) -> None:
    public_key.parent.mkdir()
    public_key.write_bytes(content)
    status, detail = ask(bearer(TokenService().token(READ)))
    assert status == 503
    assert detail == "public_key.pem is not a key for ES256 (PEM, P-256, no password)."
    assert ask(nobody())[0] == 200
    assert nobody().get("/auth/public-key").status_code == 503


def test_switched_off_authentication_lets_everybody_do_everything(service: TokenService) -> None:
    with override_settings(AUTH_DISABLED=True):
        for client in (nobody(), bearer("junk"), bearer(service.token())):
            assert client.get("/admin/pref").status_code == 200
            answer = client.post("/entities", {"is_collection": "true", "label": "x"})
            assert answer.status_code == 201
            assert answer.json()["added_by"] is None
            assert answer.json()["updated_by"] is None
