"""What an exception in the application becomes."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from asgiauth import Auth
from asgiauth.exceptions import (
    AsgiAuthError,
    ConfigurationError,
    Conflict,
    InvalidField,
    InvalidToken,
    LoginRefused,
    NotFound,
    PasswordRejected,
    Reason,
    SessionClosed,
    TokenExpired,
    Unavailable,
    UserExists,
)

from ..conftest import client
from ..sites import PASSWORD, site


@pytest.mark.parametrize(
    ("error", "status", "code", "fields"),
    [
        (LoginRefused("x"), 401, "login_refused", None),
        (
            PasswordRejected([Reason("password_too_short"), Reason("password_too_long")]),
            422,
            "password_rejected",
            {"password": ["password_too_short", "password_too_long"]},
        ),
        (InvalidField("email", "invalid_email"), 422, "invalid_fields", {"email": ["invalid_email"]}),
        (UserExists("username"), 409, "user_exists", {"username": ["taken"]}),
        (NotFound("x"), 404, "not_found", None),
        (InvalidToken("x"), 400, "invalid_token", None),
        (TokenExpired("x"), 400, "invalid_token", None),
        (Unavailable("secret detail", retry_after=9), 503, "unavailable", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_domain_error_in_the_applications_view_has_its_answer(
    sqlite_auth: Auth, error: AsgiAuthError, status: int, code: str, fields: Any
) -> None:
    """DESIGN 7 and 11: one shape, for Starlette and FastAPI."""

    async def view(request: Request) -> Response:
        raise error

    starlette = site(sqlite_auth, Route("/view", view), exception_handlers=sqlite_auth.exception_handlers)
    fastapi = FastAPI(middleware=sqlite_auth.middleware, exception_handlers=sqlite_auth.exception_handlers)
    fastapi.get("/view")(view)
    answers = []
    for app in (starlette, fastapi):
        async with client(app) as browser:
            answers.append(await browser.get("/view"))
    for answer in answers:
        assert answer.status_code == status
        detail = answer.json()["detail"]
        assert detail["code"] == code
        assert detail.get("fields") == fields
        assert set(detail) <= {"code", "message", "fields"}
        assert answer.headers["cache-control"] == "no-store"
        assert str(error) not in answer.text
    if status == 503:
        assert answers[0].headers["retry-after"] == "9"
    if status == 401:
        assert answers[0].headers["www-authenticate"] == "Cookie"


@pytest.mark.parametrize(
    "error",
    [ConfigurationError("wrong"), SessionClosed("late"), Conflict("unique", "x"), AsgiAuthError("x"), ValueError("x")],
    ids=repr,
)
@pytest.mark.parametrize("handlers", [True, False])
async def test_a_programming_error_is_a_500_that_goes_through(
    sqlite_auth: Auth, error: Exception, handlers: bool
) -> None:
    """DESIGN 7: what has no number is not dressed up as `try again`."""

    async def view(request: Request) -> Response:
        raise error

    options = {"exception_handlers": sqlite_auth.exception_handlers} if handlers else {}
    async with client(site(sqlite_auth, Route("/view", view), **options)) as browser:
        with pytest.raises(type(error)) as raised:
            await browser.get("/view")
    assert raised.value is error


async def test_the_cookie_of_a_login_is_sent_whatever_happens_after_it(sqlite_auth: Auth) -> None:
    """The old session is gone: without the new token an error would log the user out."""
    ann = await sqlite_auth.users.create("ann", password=PASSWORD)

    async def crash(request: Request) -> Response:
        await request.auth.login(ann)
        raise ValueError

    async def answered(request: Request) -> Response:
        await request.auth.login(ann)
        raise NotFound("x")

    routes = [Route("/crash", crash), Route("/answered", answered)]
    app = site(sqlite_auth, *routes, exception_handlers=sqlite_auth.exception_handlers)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="https://site.example") as browser:
        crashed, found = await browser.get("/crash"), await browser.get("/answered")
    assert (crashed.status_code, "set-cookie" in crashed.headers) == (500, True)
    assert (found.status_code, "set-cookie" in found.headers) == (404, True)


async def test_json_routes_without_the_middleware_name_the_cure(sqlite_auth: Auth) -> None:
    app = Starlette(routes=sqlite_auth.json_routes)
    async with client(app) as browser:
        with pytest.raises(ConfigurationError, match=r"auth\.middleware"):
            await browser.get("/session")
