"""What goes with every request: an id, and how long it took."""

from __future__ import annotations

import functools
import logging
import math
import re
import time
import uuid
from collections.abc import Callable

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from rest_framework.exceptions import Throttled

from entities import trail
from store_project.metrics import REQUEST_SECONDS

logger = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"
HEADER = "X-Request-ID"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

Handler = Callable[[HttpRequest], HttpResponseBase]


def identified(get_response: Handler) -> Handler:
    """By the id that the caller gave, if it is one: so a proxy's log and ours tell of the same."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(HEADER, "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        with trail.within(request_id=request_id):
            response = get_response(request)
        response[HEADER] = request_id
        return response

    return answer


def measured(get_response: Handler) -> Handler:
    """Until the answer begins: a film that is sent takes as long as its viewer likes."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = get_response(request)
        seconds = time.perf_counter() - began
        method = request.method if request.method in METHODS else "other"
        route = _route(request)
        REQUEST_SECONDS.labels(route, method, f"{response.status_code // 100}xx").observe(seconds)
        # The route, not what was asked: links are signed in their query, and names are people's own affair.
        told = {
            "method": method,
            "route": route,
            "status": response.status_code,
            "seconds": round(seconds, 4),
        }
        logger.info("%s %s", method, route, extra=told)
        return response

    return answer


class Guard:
    """What Django's own middleware does not say: no page of ours needs a camera. And the refusal of a login
    outside the API, where DRF does not answer.
    """

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.setdefault("Permissions-Policy", PERMISSIONS)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if not isinstance(exception, Throttled):
            return None
        wait: float | None = getattr(exception, "wait", None)
        answer = JsonResponse({"detail": str(exception.detail)}, status=exception.status_code)
        answer["Retry-After"] = str(math.ceil(wait or 0))
        return answer


def _route(request: HttpRequest) -> str:
    """Of the routes that there are, so that nobody can make up new ones."""
    return NO_ROUTE if request.resolver_match is None else _in_words(request.resolver_match.route)


@functools.cache
def _in_words(route: str) -> str:
    return simplify_regex(route).rstrip("/?") or "/"
