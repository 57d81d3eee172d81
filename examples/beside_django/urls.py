"""The admin, with its login, and one page."""

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import path


def whoami(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username(), "may add notes": request.user.has_perm("notes.add_note")})


urlpatterns = [path("admin/", admin.site.urls), path("", whoami)]
