from __future__ import annotations

import io

import numpy as np
import pytest
from rest_framework.test import APIClient

from tests.factories import make_face, make_photo
from tests.intelligence.likeness import DIMENSION, direction, put
from vectors.schemas import Vector

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


def fetched(client: APIClient, path: str, *, name: str) -> Vector:
    answer = client.get(path, headers={"accept": "application/octet-stream"})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.content.startswith(b"\x93NUMPY\x01\x00")
    array: Vector = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return array


def check(array: Vector, degrees: float, dimension: int) -> None:
    assert array.dtype == np.dtype("<f4")
    assert array.shape == (dimension,)
    assert np.linalg.norm(array) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(array, direction(degrees, dimension=dimension), atol=1e-6)


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_of_an_image(guest: APIClient, kind: str) -> None:
    photo = make_photo()
    put(kind, {photo: 30, make_photo(2): 60})
    path = f"/intelligence/entities/{photo.pk}/{kind}_embedding"
    for spelling in (path, f"{path}/"):
        array = fetched(guest, spelling, name=f"entity_{photo.pk}_{kind}_embedding.npy")
        check(array, 30, DIMENSION[kind])


def test_of_a_face(guest: APIClient) -> None:
    face = make_face(make_photo())
    put("face", {face: 45})
    array = fetched(guest, f"/intelligence/faces/{face.pk}/embedding", name=f"face_{face.pk}_embedding.npy")
    check(array, 45, 512)


def test_none_yet(guest: APIClient) -> None:
    photo = make_photo()
    face = make_face(photo)
    for path in (f"entities/{photo.pk}/clip_embedding", f"entities/{photo.pk}/dino_embedding"):
        answer = guest.get(f"/intelligence/{path}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "This entity has no embedding yet"})
    answer = guest.get(f"/intelligence/faces/{face.pk}/embedding")
    assert (answer.status_code, answer.json()) == (404, {"detail": "This face has no embedding yet"})


@pytest.mark.parametrize("suffix", ["embedding", "similar", "matches", "crop"])
def test_an_unknown_face(guest: APIClient, suffix: str) -> None:
    for unknown in (4711, -1, 2**64):
        answer = guest.get(f"/intelligence/faces/{unknown}/{suffix}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Face not found"})
    assert guest.get(f"/intelligence/faces/x/{suffix}").status_code == 422
