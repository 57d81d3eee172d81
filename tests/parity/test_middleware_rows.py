"""The middleware that knows the user (row A9.1)."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request

from asgiauth import AnonymousUser, Auth
from asgiauth.exceptions import ConfigurationError
from asgiauth.sessions import MemorySessionStore, SessionPolicy
from asgiauth.testing import client

from ..sessions.helpers import site_at, token_of


async def test_A9_1_there_is_one_user_in_a_request(sqlite_url: str) -> None:
    """Deliberately different: it is known before the view starts, and no `await` is needed."""
    async with site_at(sqlite_url, "ann") as site:

        def view(request: Request) -> list[Any]:
            return [request.user.username, request.user is request.user is request.auth.user is request.scope["user"]]

        assert await site.ask(await site.log_in(), view) == ["ann", True]
        assert await site.ask(site.browser(), view) == ["", True]


async def test_A9_1_login_and_logout_change_the_user_of_the_request(sqlite_url: str) -> None:
    async with site_at(sqlite_url, "ann", "bob") as site:
        bob = await site.auth.users.get_by(username="bob")
        assert bob is not None

        async def view(request: Request) -> list[str]:
            names = [request.user.username]
            await request.auth.login(bob)
            names.append(request.user.username)
            await request.auth.logout()
            assert request.user == AnonymousUser()
            return names

        assert await site.ask(await site.log_in(), view) == ["ann", "bob"]


async def test_A9_1_a_new_password_makes_the_next_request_anonymous_and_forgets_its_session(sqlite_url: str) -> None:
    policy = SessionPolicy(store=MemorySessionStore())
    for options in ({}, {"sessions": policy}):
        async with site_at(sqlite_url, **options) as site:
            name = f"user{len(options)}"
            user = await site.auth.users.create(name, password="correct horse")
            browser = await site.log_in(name)
            assert await site.who(token_of(browser)) == name
            await site.auth.users.set_password(user, "another horse")
            assert await site.ask(browser, lambda request: [request.user.username, request.session.session_key]) == [
                "",
                None,
            ]
            assert token_of(browser) is None


async def test_A9_1_starlettes_session_middleware_beside_ours_is_refused(sqlite_auth: Auth) -> None:
    """On either side of it, at the first request: a session that two keep is lost by one of them."""
    other = Middleware(SessionMiddleware, secret_key="x")
    for middleware in ([other, *sqlite_auth.middleware], [*sqlite_auth.middleware, other]):
        app = Starlette(middleware=middleware)
        with pytest.raises(ConfigurationError, match="remove SessionMiddleware"):
            await client(app, base_url="https://site.example").get("/")
