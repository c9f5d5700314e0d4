"""Decisions of one store, read into another one that was built from the same files."""

from __future__ import annotations

from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from intelligence.models import Face, FaceDecision, KnownPerson, PeopleOperation, PersonDistinction
from intelligence.people import decisions, persons
from intelligence.people.copies import shared
from tests.factories import make_face
from tests.intelligence.people.conftest import Library

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("decisions", *arguments, stdout=out)
    return out.getvalue()


def place(x: float) -> dict[str, float]:
    return {"x1": x, "y1": 0.1, "x2": x + 0.2, "y2": 0.3}


@pytest.fixture
def copy(library: Library, tmp_path: Path) -> Path:
    """Ada on two photos, beside Eve on the second; Eve is hidden, not Ada, and not the face on the third."""
    faces = [library.face(bbox=place(0.1)) for _ in range(3)]
    beside = library.face(entity=faces[1].entity, bbox=place(0.6))
    decisions.assign(face_ids=[faces[0].pk, faces[1].pk], person_id=None, name="Ada", by="ben")
    ada = KnownPerson.objects.get(name="Ada")
    decisions.assign(face_ids=[beside.pk], person_id=None, by="ben")
    eve = KnownPerson.objects.exclude(pk=ada.pk).get()
    persons.set_hidden(person_id=eve.pk, hidden=True, by="ben")
    persons.distinguish(person_id=ada.pk, other_id=eve.pk, by="ben")
    decisions.reject(face_ids=[faces[2].pk], person_id=ada.pk, by="cleo")
    run("export", str(tmp_path / "decisions.jsonl"))
    return tmp_path / "decisions.jsonl"


def rebuild(shift: float = 0.0) -> None:
    """The same photos, looked at anew: other faces, perhaps a little elsewhere."""
    found = [(face.entity, place(face.bbox["x1"] + shift)) for face in Face.objects.order_by("-pk")]
    for rows in (PeopleOperation, FaceDecision, PersonDistinction, Face, KnownPerson):
        rows.objects.all().delete()
    for entity, bbox in found:
        make_face(entity, bbox=bbox)


def state() -> object:
    """Without ids."""
    people = {person.pk: (person.name, person.hidden) for person in KnownPerson.objects.all()}
    decided = FaceDecision.objects.select_related("face")
    return (
        sorted(map(str, people.values())),
        sorted(
            (each.md5, round(each.bbox["x1"], 1), str(people.get(each.person_id or 0)), each.verdict)
            for each in decided
        ),
        sorted(
            (face.entity.md5 or "", round(face.bbox["x1"], 1), str(people.get(face.known_person_id or 0)))
            for face in Face.objects.select_related("entity")
        ),
        [{people[pair.person_id], people[pair.other_id]} for pair in PersonDistinction.objects.all()],
    )


@pytest.mark.parametrize("shift", [0.0, 0.02])
def test_they_survive_a_rebuild(copy: Path, shift: float) -> None:
    before = state()
    rebuild(shift)
    assert state() != before
    assert "5 done" in run("import", str(copy), "--dry-run")
    assert not KnownPerson.objects.exists()
    assert "5 done" in run("import", str(copy))
    assert state() == before
    assert "5 there" in run("import", str(copy))
    assert state() == before


def test_what_has_no_face_yet_waits(copy: Path) -> None:
    before = state()
    rebuild()
    held_back = Face.objects.latest("pk")
    entity, bbox = held_back.entity, held_back.bbox
    held_back.delete()
    with pytest.raises(CommandError, match="waiting") as some:
        run("import", str(copy))
    assert some.value.returncode == 1
    make_face(entity, bbox=bbox)
    run("import", str(copy))
    assert state() == before


def test_what_was_decided_otherwise_here_stays(copy: Path) -> None:
    rebuild()
    face = Face.objects.earliest("pk")
    for each in Face.objects.all():
        decisions.assign(face_ids=[each.pk], person_id=None, name=f"person {each.pk}", by="dan")
    people = KnownPerson.objects.count()
    with suppress(CommandError):  # some of it waits for people that are not here
        run("import", str(copy))
    face.refresh_from_db()
    assert face.known_person is not None
    assert face.known_person.name == f"person {face.pk}"
    assert KnownPerson.objects.count() == people


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}\n")
    for name in ("x", "missing"):
        with pytest.raises(CommandError) as refused:
            run("import", str(tmp_path / name))
        assert refused.value.returncode == 2


def test_shared_places() -> None:
    assert shared(place(0.1), place(0.1)) == pytest.approx(1.0)
    assert shared(place(0.1), place(0.4)) == 0.0
    assert shared(place(0.1), place(0.2)) == pytest.approx(1 / 3)
