"""What a full disk does to previews and crops; uploads: test_uploads.py, jobs: test_setbacks.py."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entities.api import file_views
from entities.previews import PreviewService
from entities.storage import EntityStorageService
from intelligence import crops
from tests.entities.api.client import Api, media_files
from tests.factories import make_photo

pytestmark = pytest.mark.django_db


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Full(PreviewService):
    """Only the preview is written on the full disk."""

    def ensure(self, source: Path, md5: str, type: str) -> Path:
        with files_of_at_most(10):
            return super().ensure(source, md5, type)


def test_a_preview_is_refused_in_words_and_made_later(
    api: Api, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = make_photo(1)
    with monkeypatch.context() as patch:
        patch.setattr(file_views, "PreviewService", Full)
        answer = api.get(f"/entities/{photo.pk}/preview")
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["detail"]
    assert media_files("previews") == []
    assert api.get(f"/entities/{photo.pk}/preview").status_code == 200


def test_half_a_crop_does_not_stay(media_root: Path) -> None:
    target = EntityStorageService.from_settings().resolve("faces/0/1/1-0.png")
    with files_of_at_most(10), pytest.raises(OSError, match="File too large"):
        crops._write_whole(target, b"0" * 100)
    assert list(target.parent.iterdir()) == []
    crops._write_whole(target, b"0" * 100)
    assert target.stat().st_size == 100
