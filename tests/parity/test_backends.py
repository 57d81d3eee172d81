"""Backends and how they are asked (rows A6), where tests/backends and tests/login do not show it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Date
from starlette.requests import Request

from asgiauth import User, UserModel
from asgiauth.backends import AllowAllUsersPasswordBackend, PasswordBackend
from asgiauth.exceptions import PermissionDenied
from asgiauth.testing import client, force_login

from ..sessions.helpers import PASSWORD, Site, site_at

if TYPE_CHECKING:
    from nowhere import Nothing  # type: ignore[import-not-found]

CREDENTIALS = {"username": "ann", "password": PASSWORD}


async def authenticated(request: Request) -> str | None:
    user = await request.auth.authenticate(**CREDENTIALS)
    return None if user is None else str(user)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


class TakesNothing:
    name = "nothing"

    async def authenticate(self) -> User | None:
        raise LookupError("asked")


class TakesNothingDecorated:
    name = "nothing decorated"

    @decorated
    async def authenticate(self) -> User | None:
        raise LookupError("asked")


@pytest.mark.parametrize("backend", [TakesNothing(), TakesNothingDecorated()], ids=lambda backend: backend.name)
async def test_A6_1_a_backend_that_takes_no_credentials_is_passed_by(sqlite_url: str, backend: Any) -> None:
    """A wrapper that takes anything is seen through, to the function that it wraps."""
    async with site_at(sqlite_url, "ann", backends=[backend, PasswordBackend()]) as site:
        assert await site.ask(site.browser(), authenticated) == "ann"


class Annotated(PasswordBackend[User]):
    """With names that are only there for a type checker."""

    name = "annotated"

    async def authenticate(self, connection: Nothing, *, username: Nothing, password: Nothing) -> User | None:
        return await super().authenticate(connection, username=username, password=password)


async def test_A6_1_the_annotations_of_a_backend_are_never_evaluated(sqlite_url: str) -> None:
    async with site_at(sqlite_url, "ann", backends=[Annotated()]) as site:
        assert await site.ask(site.browser(), authenticated) == "ann"


class Denies:
    name = "denies"

    async def authenticate(self, connection: Any, *, username: str, password: str) -> User | None:
        raise PermissionDenied


async def test_A6_3_who_was_known_before_a_backend_denies_is_known(sqlite_url: str) -> None:
    async with site_at(sqlite_url, "ann", backends=[PasswordBackend(), Denies()]) as site:
        assert await site.ask(site.browser(), authenticated) == "ann"


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    birthday: Any = None


async def test_A6_8_a_custom_user_logs_in_and_is_what_a_request_has(sqlite_url: str) -> None:
    model = UserModel(Member, table="member", columns=[Column("birthday", Date)])
    async with site_at(sqlite_url, "ann", user_model=model) as site:
        browser = await site.log_in()
        assert await site.ask(browser, lambda request: type(request.user).__name__) == "Member"


class Second(PasswordBackend[User]):
    name = "second"


async def test_A6_11_an_inactive_user_is_forced_in_by_the_backend_that_lets_them(sqlite_url: str) -> None:
    async with site_at(sqlite_url, "ann", backends=[Second(), AllowAllUsersPasswordBackend()]) as site:
        ann = await site.auth.users.get_by(username="ann")
        assert ann is not None
        browser = site.browser()
        await force_login(browser, await site.auth.users.update(ann, is_active=False), backend="password")
        assert await site.ask(browser, lambda request: request.user.username) == "ann"


async def test_A6_4_A7_2_the_session_names_the_backend_that_knew_the_user(sqlite_url: str) -> None:
    """Deliberately different: its `name`, which is no import path, so that code may be moved."""
    async with site_at(sqlite_url, "ann", backends=[Second()]) as site:
        browser = await site.log_in()
        assert await site.ask(browser, lambda request: request.auth.session.backend) == "second"


async def test_A7_2_a_backend_is_named_by_its_name_and_not_by_its_class(sqlite_url: str) -> None:
    async with site_at(sqlite_url, "ann") as site:
        ann = await site.auth.users.get_by(username="ann")

        async def view(request: Request) -> None:
            with pytest.raises(TypeError, match="the name of a backend"):
                await request.auth.login(ann, backend=PasswordBackend)

        await site.ask(site.browser(), view)


class Crashes:
    name = "crashes"

    async def authenticate(self, connection: Any, *, username: str, password: str) -> User | None:
        raise TypeError("broken")


async def test_A12_13_no_page_about_an_error_shows_a_password(sqlite_url: str) -> None:
    """Starlette's debug page shows lines of source, and no values of variables."""
    async with site_at(sqlite_url, "ann", backends=[Crashes()]) as known:
        site = Site(known.auth, debug=True)
        browser = client(site.app, headers={"Accept": "text/html"})
        browser._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
        answer = await browser.post("/api/auth/login", json={"username": "ann", "password": "swordfish-7"})
        assert answer.status_code == 500
        # Starlette 1.0 reads the source on the event loop, which the tests forbid, and so writes no page
        assert "TypeError: broken" in answer.text or not answer.text
        assert "swordfish-7" not in answer.text
