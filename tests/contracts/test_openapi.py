"""The server against its own description: whatever is asked, the answer is one that is described there.

OPENAPI_EXAMPLES tells how many requests are made up for each operation and kind of caller, beside those that
the limits of its parameters suggest.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.db import transaction
from django.test import TestCase, override_settings
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from entities.guest_mode import set_guest_mode
from intelligence import hints
from store_project import accounts, keys
from store_project.wsgi import application
from tests.populated import Populated, answer_errands, look_at_searches, populate

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "10"))
SMALL = 2**32
NEEDS_VECTORS = re.compile(r"embedding|similar|search|duplicates|^/faces/\{face_id\}$")

schema = schemathesis.openapi.from_wsgi("/api/schema", application)
without_limits = schemathesis.openapi.from_wsgi("/api/schema", application)
without_limits.config.phases.coverage.enabled = False
made_up = hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Stage:
    """The populated store, which is the same again after each request."""

    def __init__(self, populated: Populated, media: Path, spare: Path) -> None:
        self._populated, self._media, self._spare = populated, media, spare
        shutil.copytree(media, spare)
        token = accounts.token_for(populated.admin, keys.signing_key(settings.PUBLIC_KEY_FILE))
        self.as_admin = {"Authorization": f"Bearer {token}"}

    def put_vectors(self, case: Case[Any]) -> None:
        """Only where they are asked for: making the collections takes longer than all else."""
        if NEEDS_VECTORS.search(case.path):
            self._populated.put_vectors()

    def aim(self, case: Case[Any]) -> None:
        """Made-up numbers hit nothing: small ones become those of something that is there."""
        for name, ids in self._populated.ids.items():
            number = case.path_parameters.get(name)
            if isinstance(number, int) and 0 <= number < SMALL:
                case.path_parameters[name] = ids[number % len(ids)]
        named = case.query.get("entity") if isinstance(case.query, dict) else None
        if isinstance(named, int) and 0 <= named < SMALL:
            case.query["entity"] = self._populated.ids["entity_id"][named % 2]

    def play(self, case: Case[Any], headers: dict[str, str], *, guest_mode: bool) -> None:
        self.aim(case)
        self.put_vectors(case)
        with transaction.atomic():
            set_guest_mode(is_on=guest_mode, by=None)
            with TestCase.captureOnCommitCallbacks(execute=True):
                answer = case.call(headers=headers)
            transaction.set_rollback(True)
        if case.method == "DELETE":
            shutil.copytree(self._spare, self._media, dirs_exist_ok=True)
        assert answer.status_code < 500, answer.text
        case.validate_response(
            answer,
            checks=[status_code_conformance, content_type_conformance, response_schema_conformance],
        )


@pytest.fixture
def stage(media_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(hints, "encode", look_at_searches)
    answer_errands(monkeypatch, tmp_path)
    cheap = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PUBLIC_KEY_FILE=tmp_path / "keys" / "public_key.pem", PASSWORD_HASHERS=cheap):
        yield Stage(populate(), media_root, tmp_path / "spare")


@schema.parametrize()
@made_up
def test_an_admin(case: Case[Any], stage: Stage) -> None:
    stage.play(case, stage.as_admin, guest_mode=True)


@without_limits.parametrize()
@made_up
def test_nobody(case: Case[Any], stage: Stage) -> None:
    for guest_mode in (True, False):
        stage.play(case, {}, guest_mode=guest_mode)
