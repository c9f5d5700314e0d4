"""Who may do what: reads, writes and administration, each with its permission."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from entities.guest_mode import is_guest_mode_on
from store_project.authentication import READ, WRITE


class StoreAccess(BasePermission):
    """Safe methods need the read permission, unless guest mode lets everyone read; others need write.

    A view says `access = "public"` or `"admin"` where it is otherwise, or does so per action in `access_of`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        access = getattr(view, "access_of", {}).get(
            getattr(view, "action", None), getattr(view, "access", "")
        )
        if access == "public":
            return True
        if access == "admin":
            return _require(request, "Admin access required", allowed=request.user.is_admin)
        if request.method in SAFE_METHODS:
            return is_guest_mode_on() or _require_permission(request, READ)
        return _require_permission(request, WRITE)


def _require_permission(request: Request, name: str) -> bool:
    return _require(request, f"Insufficient permissions. Required: {name}", allowed=request.user.may(name))


def _require(request: Request, message: str, *, allowed: bool) -> bool:
    if request.user.is_authenticated and not allowed:
        raise PermissionDenied(message)
    return allowed
