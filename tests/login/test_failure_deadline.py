"""D-20: how long a failed login takes does not say why it failed. Only lower bounds are asked for: a busy machine
cannot break them."""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic
from typing import Any

import anyio
import httpx2
import pytest
from starlette.routing import Mount

from asgiauth import Auth, PasswordPolicy, User, pace
from asgiauth.backends import PasswordBackend
from asgiauth.exceptions import PermissionDenied
from asgiauth.pace import Pace
from asgiauth.testing import client

from ..conftest import FAST
from .helpers import ANN, LOGIN, PASSWORD, log_in, opened, site

DEADLINE = 0.2
SLOW = 0.3
FAILURES = {
    "nobody": {"username": "nobody"},
    "wrong": {"password": "wrong"},
    "inactive": {"username": "inactive"},
    "inactive, wrong": {"username": "inactive", "password": "wrong"},
    "unusable": {"username": "unusable"},
    "too long": {"password": "x" * 2000},
    "nobody, too long": {"username": "nobody", "password": "x" * 2000},
    "NUL in the name": {"username": "ann\0"},
    "refused by a backend": {"username": "banned"},
}


class Slow(PasswordBackend[User]):
    """Takes as long as a busy server for a login that is right."""

    async def authenticate(self, connection: Any, *, username: str, password: str) -> User | None:
        if username == "banned":
            raise PermissionDenied("never")
        user = await super().authenticate(connection, username=username, password=password)
        if user is not None or username == "dormant":
            await anyio.sleep(SLOW)
        return user


def policy(deadline: float) -> PasswordPolicy:
    return PasswordPolicy(hashers=FAST.hashers, failure_deadline=deadline)


async def lasts(login: Awaitable[httpx2.Response], status: int) -> float:
    """Seconds, from before it is sent."""
    began = monotonic()
    answer = await login
    took = monotonic() - began
    assert answer.status_code == status, answer.text
    return took


async def with_members(auth: Auth) -> Auth:
    await auth.users.update(await auth.users.create("inactive", password=PASSWORD), is_active=False)
    await auth.users.create("unusable")
    return auth


@pytest.mark.parametrize("failure", FAILURES)
async def test_D20_a_failed_login_is_answered_no_sooner_than_its_deadline(sqlite_url: str, failure: str) -> None:
    """Whatever the reason, by the JSON API and by the page."""
    async with opened(sqlite_url, "ann", passwords=policy(DEADLINE), backends=[Slow()]) as auth:
        pages = Mount("/auth", routes=auth.html_routes())
        browser = client(site(await with_members(auth), pages))
        wrong = {**ANN, **FAILURES[failure]}
        assert await lasts(browser.post(LOGIN, json=wrong), 401) >= DEADLINE
        assert await lasts(browser.post("/auth/login", data=wrong), 200) >= DEADLINE


async def test_D20_the_deadline_follows_successes_that_are_slower(sqlite_url: str) -> None:
    """From the second one on: a single one may be an accident. Each process learns for itself."""
    async with opened(sqlite_url, "ann", passwords=policy(DEADLINE), backends=[Slow()]) as auth:
        browser = client(site(auth))
        for _ in range(2):
            await log_in(browser)
        for failure in ("nobody", "wrong"):
            wrong = {**ANN, **FAILURES[failure]}
            assert await lasts(browser.post(LOGIN, json=wrong), 401) >= SLOW


async def test_D20_the_deadline_follows_a_failure_that_is_slower(sqlite_url: str) -> None:
    """From the first one on: a hash of another kind, that nobody has logged in with since, is dearer than an unknown
    name."""
    async with opened(sqlite_url, "ann", passwords=policy(DEADLINE), backends=[Slow()]) as auth:
        browser = client(site(auth))
        for failure in ("dormant", "nobody", "nobody"):
            assert await lasts(browser.post(LOGIN, json={**ANN, "username": failure}), 401) >= SLOW


async def test_D20_the_slowest_failure_is_remembered_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cheap ones come after it; not the time for which one is held back; and never more than a second."""
    now, slept = [1000.0], list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        now[0] += seconds

    monkeypatch.setattr(pace, "monotonic", lambda: now[0])
    monkeypatch.setattr(anyio, "sleep", sleep)
    one = Pace(DEADLINE)

    async def fail(seconds: float) -> float:
        began = now[0]
        now[0] += seconds
        await one.hold_back(began)
        return slept.pop()

    assert await fail(0.05) == 0.15
    assert await fail(0.6) == 0
    assert [await fail(0.1) for _ in range(200)] == [0.5] * 200
    assert await fail(30) == 0
    assert await fail(0.1) == 0.9
    now[0] += 3600
    assert await fail(0.05) == 0.15
    never = Pace(0)
    await never.hold_back(now[0])
    assert slept == []


async def test_D20_nobody_waits_for_a_deadline_of_an_hour(sqlite_url: str) -> None:
    """One second at most, however slow the server has been for a while: else logins would stay slow for long."""
    async with opened(sqlite_url, "ann", passwords=policy(3600)) as auth:
        browser = client(site(auth))
        with anyio.fail_after(60):
            assert await lasts(browser.post(LOGIN, json={**ANN, "password": "wrong"}), 401) >= 1
