from __future__ import annotations

from collections.abc import Iterable

from django.http import Http404
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class PreferenceNegotiation(DefaultContentNegotiation):
    """JSON, or the browser's page for who prefers that. Nothing is refused for its `Accept`.

    An image view or a player accepts only what it can show, and gets what the route has.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        try:
            renderer, media_type = super().select_renderer(request, renderers, format_suffix)
        except (NotAcceptable, Http404, TypeError, ValueError):  # the last two: it cannot be parsed
            renderer = next(iter(renderers))
            return renderer, str(renderer.media_type)
        return renderer, media_type
