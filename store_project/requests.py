"""What is noted of every request: how long it took, for the metrics; and an id that goes with it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest, HttpResponseBase

from store_project.metrics import REQUEST_SECONDS

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"

Handler = Callable[[HttpRequest], HttpResponseBase]


def measured(get_response: Handler) -> Handler:
    """Until the answer begins: a film that is sent takes as long as its viewer likes."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = get_response(request)
        method = request.method if request.method in METHODS else "other"
        labels = (_route(request), method, f"{response.status_code // 100}xx")
        REQUEST_SECONDS.labels(*labels).observe(time.perf_counter() - began)
        return response

    return answer


def _route(request: HttpRequest) -> str:
    """Of the routes that there are, so that nobody can make up new ones."""
    return NO_ROUTE if request.resolver_match is None else _in_words(request.resolver_match.route)


@functools.cache
def _in_words(route: str) -> str:
    return simplify_regex(route).rstrip("/?") or "/"
