"""Everything below /django/, so that one host can serve another application too."""

from __future__ import annotations

import views
from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

SITE = [
    path("admin/", admin.site.urls),
    path("login/", auth_views.LoginView.as_view(template_name="admin/login.html"), name="login"),
    path("logout/", auth_views.LogoutView.as_view(next_page="/django/whoami/"), name="logout"),
    path(
        "password_change/",
        auth_views.PasswordChangeView.as_view(success_url="/django/whoami/"),
        name="password_change",
    ),
    path("whoami/", views.whoami),
    path("csrf/", views.csrf),
    path("session/<str:name>/", views.session),
    path("publish/", views.publish),
]
urlpatterns = [path("django/", include(SITE))]
