"""Guest mode: whether reading needs no token. Asked of the database each time: a change shows at once."""

from __future__ import annotations

from entities.models import ServiceConfig

KEY = "guest_mode"


def is_guest_mode_on() -> bool:
    return bool(ServiceConfig.objects.filter(key=KEY).values_list("value", flat=True).first() is not False)
