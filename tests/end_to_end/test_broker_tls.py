"""A Redis that speaks TLS only, with a certificate of its own making."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone

from tests import own_services
from tests.deployment import LOOPBACK
from tests.end_to_end.celery_workers import said, send, worker
from tests.newer_release import TASK
from tests.own_services import OwnService
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.allow_hosts([LOOPBACK]), pytest.mark.timeout(240)]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Its key lies beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis of a test")])
    now = timezone.now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    written = tmp_path / "redis.pem"
    written.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    written.with_suffix(".key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return written


@pytest.fixture
def own_broker(certificate: Path) -> Iterator[OwnService]:
    with own_services.redis_with_tls(certificate, certificate.with_suffix(".key")) as service:
        yield service


def test_a_worker_takes_work_over_tls(
    manage: Manage, worker_env: dict[str, str], own_broker: OwnService, certificate: Path, tmp_path: Path
) -> None:
    url = f"rediss://{LOOPBACK}:{own_broker.port}/0?ssl_ca_certs={certificate}"
    env, log = {**worker_env, "CELERY_BROKER_URL": url}, tmp_path / "log"
    send(env, TASK, "hello")
    with worker(manage, "tests.newer_release", log, env):
        wait_until(lambda: said(env) == "hello")


def test_a_certificate_that_nobody_has_named_is_not_taken(
    manage: Manage, worker_env: dict[str, str], own_broker: OwnService, tmp_path: Path
) -> None:
    env, log = (
        {**worker_env, "CELERY_BROKER_URL": f"rediss://{LOOPBACK}:{own_broker.port}/0"},
        tmp_path / "log",
    )
    with worker(manage, "tests.newer_release", log, env):
        wait_until(lambda: "CERTIFICATE_VERIFY_FAILED" in log.read_text())
