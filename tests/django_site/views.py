"""What a visitor can ask, in JSON."""

from __future__ import annotations

import json

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, JsonResponse
from django.middleware.csrf import get_token


def whoami(request: HttpRequest) -> JsonResponse:
    """Who is logged in, blank for nobody, and by which backend; what they may do."""
    return JsonResponse(
        {
            "username": request.user.get_username(),
            "backend": request.session.get("_auth_user_backend"),
            "permissions": sorted(request.user.get_all_permissions()),
        }
    )


def csrf(request: HttpRequest) -> JsonResponse:
    """The token that a POST needs, in `csrfmiddlewaretoken` or `X-CSRFToken`."""
    return JsonResponse({"token": get_token(request)})


def session(request: HttpRequest, name: str) -> JsonResponse:
    """A value of the session: GET shows it, PUT stores the JSON that it is given, DELETE takes it out."""
    if request.method == "PUT":
        request.session[name] = json.loads(request.body)
    if request.method == "DELETE":
        del request.session[name]
    return JsonResponse({"value": request.session.get(name)})


@permission_required("blog.publish_post", raise_exception=True)
def publish(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"published": True})
