"""Logging in, for installations without an authentication service of their own."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.documentation import FORM, MULTIPART, error
from entities.api.parsers import MultiPartParser
from entities.api.validation import validated
from store_project import accounts, keys, tokens
from store_project.access import Access
from store_project.authentication import caller, principal_of

MAX_PASSWORD_LENGTH = 1024
NOT_STORED = {"Cache-Control": "no-store"}


class LoginFormSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150, trim_whitespace=False, help_text="Of a user.")
    password = serializers.CharField(
        max_length=MAX_PASSWORD_LENGTH, trim_whitespace=False, help_text="As it is, spaces included."
    )


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


OUTSIDE = {404: error("Tokens come from another service; log in there.")}
NO_KEY = {503: error("The key files are not as they should be; the text says what to do.")}


class TokenView(APIView):
    access = Access.PUBLIC
    parser_classes = (FormParser, MultiPartParser)

    @extend_schema(
        summary="Log in",
        request={FORM: LoginFormSerializer, MULTIPART: LoginFormSerializer},
        responses={
            200: TokenSerializer,
            401: error("The name or the password is wrong."),
            429: error("Too many logins have failed; `Retry-After` says when to try again."),
            **OUTSIDE,
            **NO_KEY,
        },
    )
    def post(self, request: Request) -> Response:
        """Gives out a token for a name and a password: to send as `Authorization: Bearer ...`."""
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
    access = Access.USER

    @extend_schema(
        summary="Stay logged in", request=None, responses={200: TokenSerializer, **OUTSIDE, **NO_KEY}
    )
    def post(self, request: Request) -> Response:
        """Gives out a new token for one that is still valid, with the permissions of this moment."""
        key = keys.signing_key(settings.PUBLIC_KEY_FILE)
        user = None if request.auth is None else accounts.user_behind(_claims(request))
        if user is None:
            raise AuthenticationFailed("This login has ended; log in again.")
        return _answer(accounts.token_for(user, key))


class PublicKeyView(APIView):
    access = Access.PUBLIC

    @extend_schema(summary="Show the public key", responses={200: PublicKeySerializer, **NO_KEY})
    def get(self, request: Request) -> Response:
        """With it others can check the tokens."""
        keys.ensure_key_pair(settings.PUBLIC_KEY_FILE)
        key = keys.read_public_key(settings.PUBLIC_KEY_FILE)
        if key is None:
            raise keys.UnusableKeyError("No public key is installed.")
        return Response({"public_key": keys.public_pem(key).decode(), "algorithm": tokens.ALGORITHM})


class MeView(APIView):
    access = Access.USER

    @extend_schema(
        summary="Show who asks",
        responses={
            200: MeSerializer,
            404: error("The token is of another service: no user stands behind it."),
        },
    )
    def get(self, request: Request) -> Response:
        """The user behind the token or the session, with the permissions of this moment."""
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
