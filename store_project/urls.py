"""Every route answers with and without a slash at its end; a redirect would lose a POST's body."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from store_project.administration import AuditView, ClearOrphansView, GuestModeView, PreferencesView
from store_project.metrics_view import MetricsView
from store_project.token_views import MeView, PublicKeyView, TokenRefreshView, TokenView
from store_project.views import HealthView, LiveView, ReadyView, WorkerStatusView

browser_login = [
    re_path(
        r"^login/?$",
        LoginView.as_view(template_name="rest_framework/login.html", next_page="/"),
        name="login",
    ),
    re_path(r"^logout/?$", LogoutView.as_view(next_page="/"), name="logout"),
]

urlpatterns = [
    path("", HealthView.as_view(), name="health"),
    re_path(r"^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^healthz/?$", LiveView.as_view(), name="healthz"),
    re_path(r"^readyz/?$", ReadyView.as_view(), name="readyz"),
    re_path(r"^metrics/?$", MetricsView.as_view(), name="metrics"),
    re_path(r"^api/docs/?$", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"^m_insight/status/?$", WorkerStatusView.as_view(), name="worker-status"),
    re_path(r"^auth/token/?$", TokenView.as_view(), name="token"),
    re_path(r"^auth/token/refresh/?$", TokenRefreshView.as_view(), name="token-refresh"),
    re_path(r"^auth/public-key/?$", PublicKeyView.as_view(), name="public-key"),
    re_path(r"^users/me/?$", MeView.as_view(), name="me"),
    # Both spellings are spoken by clients. Before Django's admin, which claims all else below its path.
    re_path(r"^admin/pref/?$", PreferencesView.as_view(), name="preferences"),
    re_path(r"^admin/config/?$", PreferencesView.as_view()),
    re_path(r"^admin/pref/guest-mode/?$", GuestModeView.as_view(), name="guest-mode"),
    re_path(r"^admin/config/guest-mode/?$", GuestModeView.as_view()),
    re_path(r"^system/audit/?$", AuditView.as_view(), name="audit"),
    re_path(r"^system/clear-orphans/?$", ClearOrphansView.as_view(), name="clear-orphans"),
    re_path(r"^admin$", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api-auth/", include((browser_login, "rest_framework"))),
    path("", include("entities.api.urls")),
    path("", include("intelligence.api.urls")),
]

handler400 = "store_project.error_pages.bad_request"
handler403 = "store_project.error_pages.forbidden"
handler404 = "store_project.error_pages.unknown_path"
handler500 = "store_project.error_pages.crashed"
