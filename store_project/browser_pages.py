"""The API's pages for a person with a browser: DRF's, with links from each thing to what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer


@dataclass(frozen=True)
class Link:
    text: str
    path: str


class PageRenderer(BrowsableAPIRenderer):
    template = "store/page.html"

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        view, request = renderer_context["view"], renderer_context["request"]
        return context | {
            "patch_form": self.get_rendered_html_form(data, view, "PATCH", request),
            "has_search_form": getattr(view, "has_search_form", False),
            "links": list(_lines(data)),
            "versions": [one["version"] for one in _things(data) if "transaction_id" in one],
            "restore_path": f"/entities/{view.kwargs.get('entity_id')}/restore",
        }


def _lines(data: Any) -> list[list[Link]]:
    """One for each thing that is shown."""
    return [links for thing in _things(data) if (links := _links(thing))]


def _things(data: Any) -> list[dict[str, Any]]:
    things = data.get("items", data.get("results", [data])) if isinstance(data, dict) else data
    return [thing for thing in things or [] if isinstance(thing, dict)]


def _links(thing: dict[str, Any]) -> list[Link]:
    if "children_count" in thing:
        return _of_entity(thing)
    if "bbox" in thing:
        return _of_face(thing)
    if "cover_face_id" in thing:
        person = f"/intelligence/known-persons/{thing['id']}"
        return [Link(thing["name"] or f"person {thing['id']}", person), Link("faces", f"{person}/faces")]
    if "face_id" in thing and "score" in thing:
        return [Link(f"face {thing['face_id']}", f"/intelligence/faces/{thing['face_id']}/crop")]
    if "entity_id" in thing and "score" in thing:
        return [Link(f"entity {thing['entity_id']}", f"/entities/{thing['entity_id']}")]
    return []


def _of_entity(entity: dict[str, Any]) -> list[Link]:
    path, known = f"/entities/{entity['id']}", f"/intelligence/entities/{entity['id']}"
    links = [Link(entity["label"] or f"entity {entity['id']}", path), Link("versions", f"{path}/versions")]
    if entity["parent_id"] is not None:
        links.append(Link("parent", f"/entities/{entity['parent_id']}"))
    if entity["is_collection"]:
        return [*links, Link("children", f"/entities?parent_id={entity['id']}")]
    links += [Link(name, entity[f"{name}_url"]) for name in ("media", "preview") if entity[f"{name}_url"]]
    if entity["type"] == "image":
        links.append(Link("intelligence", known))
        links += [Link(name, f"{known}/{name}") for name in ("faces", "jobs", "similar")]
    return links


def _of_face(face: dict[str, Any]) -> list[Link]:
    path = f"/intelligence/faces/{face['id']}"
    links = [Link(f"face {face['id']}", f"{path}/crop"), Link("image", f"/entities/{face['entity_id']}")]
    if face["known_person_id"] is not None:
        links.append(Link("person", f"/intelligence/known-persons/{face['known_person_id']}"))
    return [*links, *(Link(name, f"{path}/{name}") for name in ("similar", "matches"))]
