"""Who may do what. Decided before a body is read, and before anything is looked up."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import MethodNotAllowed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from entities.guest_mode import is_guest_mode_on
from store_project.access import Access, access_to
from store_project.authentication import READ, WRITE, Principal, caller


class StoreAccess(BasePermission):
    """Asks of the caller what the view declares (see access.py); 401 for nobody, 403 for somebody else."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method not in view.allowed_methods:
            raise MethodNotAllowed(str(request.method))
        access = access_to(view, request)
        if access is Access.PUBLIC:
            return True
        if access is Access.USER:
            return caller(request).is_authenticated
        if access is Access.ADMIN:
            return _is_allowed(caller(request), "Admin access required", allowed=caller(request).is_admin)
        if request.method not in SAFE_METHODS and access is not Access.READ:
            return _holds(caller(request), WRITE)
        return caller(request).may(READ) or is_guest_mode_on() or _holds(caller(request), READ)


def _holds(principal: Principal, name: str) -> bool:
    message = f"Insufficient permissions. Required: {name}"
    return _is_allowed(principal, message, allowed=principal.may(name))


def _is_allowed(principal: Principal, message: str, *, allowed: bool) -> bool:
    if principal.is_authenticated and not allowed:
        raise PermissionDenied(message)
    return allowed
