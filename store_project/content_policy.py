"""What a page of ours may load and run, told to the browser: a text that slips into one is never a script.

Django has this from 6.0 on. One policy for all pages needs no library until then.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"
ALLOWED = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # the templates of DRF and Swagger UI carry their styles inside
    "img-src": "'self' data:",  # Swagger UI's arrows
    "font-src": "'self'",
    "connect-src": "'self'",  # forms that PUT, PATCH and DELETE; "Try it out" in the documentation
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
POLICY = "; ".join(f"{what} {sources}" for what, sources in ALLOWED.items())


def content_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """A view's own is left alone: what people have stored is served under a stricter one."""

    def with_policy(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault(HEADER, POLICY)
        return response

    return with_policy
