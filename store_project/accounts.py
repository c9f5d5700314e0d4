"""The users that the store keeps itself: Django's, with the permissions that Django grants them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare

from store_project import keys, tokens
from store_project.authentication import principal_of
from store_project.config import ConfigError


def prepare() -> None:
    """What a fresh installation needs before anybody can log in: keys, and the first administrator."""
    keys.ensure_key_pair(settings.PUBLIC_KEY_FILE)
    config = settings.CONFIG
    ensure_first_admin(
        username=config.first_admin_username, password=config.first_admin_password.get_secret_value()
    )


def ensure_first_admin(*, username: str, password: str) -> None:
    """Does nothing where an administrator exists, or nothing was configured. Raises ConfigError."""
    if not (username or password) or _has_admin():
        return
    if not (username and password):
        raise ConfigError("FIRST_ADMIN_USERNAME and FIRST_ADMIN_PASSWORD go together; set both, or neither.")
    _check_password(username, password)
    try:
        with transaction.atomic():
            User.objects.create_superuser(username, password=password)
    except IntegrityError as error:
        if not _has_admin():  # else another process was faster
            raise ConfigError(
                f"FIRST_ADMIN_USERNAME: {username} exists and is no administrator; choose another name."
            ) from error


def _has_admin() -> bool:
    return User.objects.filter(is_superuser=True).exists()


def _check_password(username: str, password: str) -> None:
    try:
        validate_password(password, User(username=username))
    except ValidationError as error:
        raise ConfigError(f"FIRST_ADMIN_PASSWORD: {' '.join(error.messages)}") from error


def token_for(user: User, key: EllipticCurvePrivateKey) -> str:
    """With the permissions of this moment."""
    principal = principal_of(user)
    claims = tokens.Claims(
        str(user.pk), principal.permissions, principal.is_admin, user.get_session_auth_hash()
    )
    return tokens.issue(claims, key)


def user_behind(claims: tokens.Claims) -> User | None:
    """None for a token given out elsewhere, and for a login that ended: gone, inactive, new password."""
    if claims.login is None or not claims.id.isdecimal():
        return None
    user = User.objects.filter(pk=claims.id, is_active=True).first()
    if user is None or not constant_time_compare(claims.login, user.get_session_auth_hash()):
        return None
    return user
