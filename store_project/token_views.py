"""Logging in, for installations without an authentication service of their own."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.validation import validated
from store_project import accounts, keys, tokens
from store_project.access import Access
from store_project.authentication import caller, principal_of

MAX_PASSWORD_LENGTH = 1024
NOT_STORED = {"Cache-Control": "no-store"}


class LoginFormSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150, trim_whitespace=False)
    password = serializers.CharField(max_length=MAX_PASSWORD_LENGTH, trim_whitespace=False)


class TokenSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    token_type = serializers.CharField()


class PublicKeySerializer(serializers.Serializer[Any]):
    public_key = serializers.CharField(help_text="PEM.")
    algorithm = serializers.CharField()


class MeSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    username = serializers.CharField()
    is_admin = serializers.BooleanField()
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    permissions = serializers.ListField(child=serializers.CharField())


class KeyErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()


NO_KEY = {404: KeyErrorSerializer, 503: KeyErrorSerializer}
"""Tokens come from elsewhere, or the key files are not as they should be."""


class TokenView(APIView):
    """Gives out a token for a name and a password."""

    access = Access.PUBLIC
    parser_classes = (FormParser, MultiPartParser)

    @extend_schema(
        request=LoginFormSerializer, responses={200: TokenSerializer, 401: KeyErrorSerializer, **NO_KEY}
    )
    def post(self, request: Request) -> Response:
        key = keys.signing_key(settings.PUBLIC_KEY_FILE)
        form = validated(LoginFormSerializer(data=request.data), "body")
        user = authenticate(
            request._request,  # noqa: SLF001  (DRF's way to Django's request)
            username=User.normalize_username(form["username"]),
            password=form["password"],
        )
        if not isinstance(user, User):
            raise AuthenticationFailed("Incorrect username or password")
        return _answer(accounts.token_for(user, key))


class TokenRefreshView(APIView):
    """Gives out a new token for one that is still valid, with the permissions of this moment."""

    access = Access.USER

    @extend_schema(request=None, responses={200: TokenSerializer, **NO_KEY})
    def post(self, request: Request) -> Response:
        key = keys.signing_key(settings.PUBLIC_KEY_FILE)
        user = None if request.auth is None else accounts.user_behind(_claims(request))
        if user is None:
            raise AuthenticationFailed("This login has ended; log in again.")
        return _answer(accounts.token_for(user, key))


class PublicKeyView(APIView):
    """The key with which others can check the tokens."""

    access = Access.PUBLIC

    @extend_schema(responses={200: PublicKeySerializer, **NO_KEY})
    def get(self, request: Request) -> Response:
        keys.ensure_key_pair(settings.PUBLIC_KEY_FILE)
        key = keys.read_public_key(settings.PUBLIC_KEY_FILE)
        if key is None:
            raise keys.UnusableKeyError("No public key is installed.")
        return Response({"public_key": keys.public_pem(key).decode(), "algorithm": tokens.ALGORITHM})


class MeView(APIView):
    """The user who asks."""

    access = Access.USER

    @extend_schema(responses={200: MeSerializer, 404: KeyErrorSerializer})
    def get(self, request: Request) -> Response:
        user = _user_of(request)
        if user is None:
            raise NotFound("No user of this store stands behind the request.")
        principal = principal_of(user)
        return Response(
            {
                "id": user.pk,
                "username": user.get_username(),
                "is_admin": principal.is_admin,
                "is_active": user.is_active,
                "created_at": user.date_joined.isoformat(),
                "permissions": sorted(principal.permissions),
            }
        )


def _user_of(request: Request) -> User | None:
    if request.auth is not None:
        return accounts.user_behind(_claims(request))
    store_id = caller(request).store_id  # of the browser's session, if any
    return None if store_id is None else User.objects.filter(pk=store_id).first()


def _claims(request: Request) -> tokens.Claims:
    return cast("tokens.Claims", request.auth)


def _answer(token: str) -> Response:
    return Response({"access_token": token, "token_type": "bearer"}, headers=NOT_STORED)
