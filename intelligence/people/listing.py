"""Reading people, their faces and operations. Faces in the trash, or below it, are not counted or shown."""

from __future__ import annotations

from django.db.models import Count, Exists, F, IntegerField, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from intelligence import visibility
from intelligence.models import (
    Face,
    FaceDecision,
    FaceMatch,
    KnownPerson,
    PeopleChange,
    PeopleOperation,
)

ORDERS = {
    "id": ("pk",),
    "name": (F("name").asc(nulls_last=True), "pk"),
    "faces": ("-face_count", "pk"),
}


def people() -> QuerySet[KnownPerson]:
    """Each with `face_count`, and `shown_cover_id`: the chosen cover, or else the best face."""
    faces = visibility.outside_trash(Face.objects.order_by())
    of_person = faces.filter(known_person=OuterRef("pk"))
    number = of_person.values("known_person").annotate(number=Count("pk")).values("number")
    chosen = faces.filter(pk=OuterRef("cover_face_id")).values("pk")
    best = of_person.order_by(F("quality").desc(), "pk").values("pk")[:1]
    return KnownPerson.objects.annotate(
        face_count=Coalesce(Subquery(number, output_field=IntegerField()), 0),
        shown_cover_id=Coalesce(Subquery(chosen), Subquery(best)),
    )


def find_people(
    *,
    search: str = "",
    named: bool | None = None,
    min_faces: int = 0,
    with_hidden: bool = False,
    order: str = "id",
) -> QuerySet[KnownPerson]:
    """`min_faces` is for people without a name: who was named is shown with any number."""
    found = people()
    if not with_hidden:
        found = found.filter(hidden=False)
    if search:
        found = found.filter(name__icontains=search)
    if named is not None:
        found = found.filter(name__isnull=not named)
    if min_faces:
        found = found.filter(Q(name__isnull=False) | Q(face_count__gte=min_faces))
    return found.order_by(*ORDERS[order])


def faces_by_doubt(person_id: int) -> QuerySet[Face]:
    """The person's faces, each with its `closeness` to the others: the least certain first, then those that
    nobody has compared, and last those that a user has confirmed."""
    alike = FaceMatch.objects.filter(face=OuterRef("pk"), matched_face__known_person=person_id)
    closest = alike.order_by().values("face").annotate(closest=Max("similarity")).values("closest")
    faces = visibility.outside_trash(Face.objects.filter(known_person=person_id))
    return faces.annotate(closeness=Subquery(closest)).order_by(
        "assigned_by", F("closeness").asc(nulls_last=True), "quality", "pk"
    )


def waiting_faces() -> QuerySet[Face]:
    """Faces that nobody could be given to by likeness alone, each with `suggested_person_id` and `closeness`:
    who is closest, and was not ruled out. The closest first, then the best crops."""
    ruled_out = FaceDecision.objects.filter(
        face=OuterRef("face"),
        person=OuterRef("matched_face__known_person"),
        verdict=FaceDecision.Verdict.IS_NOT,
    )
    like = FaceMatch.objects.filter(face=OuterRef("pk"), matched_face__known_person__isnull=False)
    closest = like.filter(~Exists(ruled_out)).order_by("-similarity", "pk")
    waiting = Face.objects.filter(standing=Face.Standing.WAITING)
    return (
        visibility.outside_trash(waiting)
        .annotate(
            suggested_person_id=Subquery(closest.values("matched_face__known_person_id")[:1]),
            closeness=Subquery(closest.values("similarity")[:1]),
        )
        .order_by(F("closeness").desc(nulls_last=True), F("quality").desc(), "pk")
    )


def operations(person_id: int | None = None) -> QuerySet[PeopleOperation]:
    """The newest first. Of one person: what was done with them, or with the faces that are theirs now."""
    found = PeopleOperation.objects.select_related("undone_in").order_by("-pk")
    if person_id is None:
        return found
    theirs = Face.objects.filter(known_person=person_id).order_by().values("pk")
    about = Q(of="person", row=person_id) | Q(face__in=theirs)
    changes = PeopleChange.objects.filter(about)
    return found.filter(pk__in=changes.order_by().values("operation"))
