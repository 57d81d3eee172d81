"""B4.4: a right password that is known from a breach."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from asgiauth import Auth, User
from asgiauth.events import Event, LoginFailed, PasswordBreached, UserLoggedIn
from asgiauth.passwords import BreachedPasswordValidator
from asgiauth.testing import Clock, client

from ..conftest import FAST
from ..passwords.ranges import BREACHED, Ranges
from .helpers import ANN, LOGIN, PASSWORD, Site, Step, another, error, opened, prove, site, steps, user_named
from .renewing import NEW, STEP, renew, state_of


@pytest.fixture
async def ranges() -> AsyncIterator[Ranges]:
    async with Ranges() as ranges:
        yield ranges


class Told:
    def __init__(self, auth: Auth) -> None:
        self.events: list[Event] = []
        auth.events.on(Event, self.tell)

    async def tell(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]


def asking(ranges: Ranges, on_login: Any, **options: Any) -> Any:
    ranges.known[PASSWORD] = 12
    validator = BreachedPasswordValidator(ranges.url, on_login=on_login, timeout=30, **options)
    return replace(FAST, validators=[validator])


async def without_asking(auth: Auth) -> None:
    """Users whose passwords were set before anybody asked."""
    for name in ("ann", "bob"):
        await auth.users.create(name, password=PASSWORD, validate=False)


@pytest.mark.parametrize("on_login", ["off", "notify", "change"])
async def test_B4_4_a_login_that_fails_asks_nobody(ranges: Ranges, sqlite_url: str, on_login: str) -> None:
    """D-20: unknown, wrong, inactive, without a password: the same answer after the same work."""
    async with opened(sqlite_url, passwords=asking(ranges, on_login)) as auth, client(site(auth)) as browser:
        await without_asking(auth)
        await auth.users.create("off", password=PASSWORD, is_active=False, validate=False)
        await auth.users.create("none")
        told = Told(auth)
        for name, password in [("ann", BREACHED), ("nobody", PASSWORD), ("off", PASSWORD), ("none", PASSWORD)]:
            answer = await browser.post(LOGIN, json={"username": name, "password": password})
            assert error(answer) == (401, "invalid_credentials")
        assert ranges.asked == []
        assert told.kinds() == [LoginFailed] * 4


async def test_B4_4_notify_tells_of_it_with_the_login(ranges: Ranges, url: str) -> None:
    """In its unit of work; the user is in. A password that is not known, and `off`, tell nothing."""
    async with opened(url, passwords=asking(ranges, "notify")) as auth, client(site(auth)) as browser:
        await without_asking(auth)
        told = Told(auth)
        assert (await browser.post(LOGIN, json=ANN)).status_code == 200
        assert told.kinds() == [UserLoggedIn, PasswordBreached]
        breached = told.events[1]
        assert isinstance(breached, PasswordBreached)
        assert (breached.user.username, breached.count) == ("ann", 12)
        assert PASSWORD not in repr(breached)
        await auth.users.set_password(await user_named(auth, "ann"), NEW)
        told.events.clear()
        assert (await browser.post(LOGIN, json={**ANN, "password": NEW})).status_code == 200
        assert told.kinds() == [UserLoggedIn]


async def test_off_asks_nothing_at_a_login(ranges: Ranges, sqlite_url: str) -> None:
    async with opened(sqlite_url, passwords=asking(ranges, "off")) as auth, client(site(auth)) as browser:
        await without_asking(auth)
        assert (await browser.post(LOGIN, json=ANN)).status_code == 200
        assert ranges.asked == []


async def test_a_listener_that_fails_takes_the_login_back(ranges: Ranges, sqlite_url: str) -> None:
    async def fail(event: Event) -> None:
        raise LookupError

    async with opened(sqlite_url, passwords=asking(ranges, "notify")) as auth, client(site(auth)) as browser:
        await without_asking(auth)
        auth.events.on(PasswordBreached, fail)
        with pytest.raises(LookupError):
            await browser.post(LOGIN, json=ANN)
        assert await auth.sessions.list(await user_named(auth, "ann")) == []


async def test_B4_4_change_asks_for_another_password_before_the_user_is_in(ranges: Ranges, url: str) -> None:
    """By the step of a forced change, which refuses a breached one too; the flag stays where the login is given up."""
    async with opened(url, passwords=asking(ranges, "change")) as auth, client(site(auth)) as browser:
        await without_asking(auth)
        told = Told(auth)
        answer = await browser.post(LOGIN, json=ANN)
        assert (error(answer), answer.json()["detail"]["steps"]) == ((401, "step_required"), [STEP])
        assert told.kinds() == [PasswordBreached]
        refused = await renew(browser, BREACHED)
        assert refused.json()["detail"]["fields"] == {"new_password": ["password_breached"]}
        ranges.status = "503 Service Unavailable"
        later = await another(browser).post(LOGIN, json=ANN)
        assert error(later) == (401, "step_required")
        assert (await renew(browser)).status_code == 200
        assert (await another(browser).post(LOGIN, json={**ANN, "password": NEW})).status_code == 200


async def test_T13_a_password_that_is_changed_while_the_service_answers_is_not_marked(
    ranges: Ranges, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one is not the one that is known from a breach; the login with the old one fails."""
    policy = asking(ranges, "change")
    async with opened(url, passwords=policy) as auth, client(site(auth)) as browser:
        await without_asking(auth)
        count = BreachedPasswordValidator.count

        async def overtaken(validator: BreachedPasswordValidator, password: str) -> int:
            monkeypatch.undo()
            await auth.users.set_password(await user_named(auth, "ann"), NEW, validate=False)
            return await count(validator, password)

        monkeypatch.setattr(BreachedPasswordValidator, "count", overtaken)
        assert error(await browser.post(LOGIN, json=ANN)) == (401, "invalid_credentials")
        assert await state_of(auth, await user_named(auth, "ann")) is None
        assert (await browser.post(LOGIN, json={**ANN, "password": NEW})).status_code == 200


class Directory:
    """Keeps passwords of its own."""

    name = "directory"
    auth: Auth

    async def authenticate(self, connection: Any, *, username: str, password: str) -> User | None:
        return await self.auth.users.find(username)


async def test_a_breached_password_of_a_directory_marks_none_that_is_stored_here(
    ranges: Ranges, sqlite_url: str
) -> None:
    directory = Directory()
    async with opened(sqlite_url, passwords=asking(ranges, "change"), backends=[directory]) as auth:
        directory.auth = auth
        await auth.users.create("ann", password=NEW)
        told = Told(auth)
        assert (await client(site(auth)).post(LOGIN, json=ANN)).status_code == 200
        assert told.kinds() == [UserLoggedIn, PasswordBreached]
        assert await state_of(auth, await user_named(auth, "ann")) is None


async def test_a_breach_comes_after_the_second_factor(ranges: Ranges, sqlite_url: str) -> None:
    """It is told when the password was right, and asked when everything is proved."""
    feature = steps(Step("totp"))
    policy = asking(ranges, "change")
    async with opened(sqlite_url, features=[feature], passwords=policy, clock=(clock := Clock())) as auth:
        await without_asking(auth)
        told = Told(auth)
        at = Site(auth, feature, clock)
        answer = await at.password()
        assert [step["name"] for step in answer.json()["detail"]["steps"]] == ["totp"]
        assert told.kinds() == [PasswordBreached]
        assert (await prove(at.browser, "totp")).json()["detail"]["steps"] == [STEP]
        assert (await renew(at.browser)).status_code == 200


async def test_a_service_that_is_down_keeps_nobody_out(ranges: Ranges, sqlite_url: str) -> None:
    async with opened(sqlite_url, passwords=asking(ranges, "change")) as auth, client(site(auth)) as browser:
        await without_asking(auth)
        ranges.status = "503 Service Unavailable"
        assert (await browser.post(LOGIN, json=ANN)).status_code == 200


async def test_only_the_password_of_who_logs_in_is_told_of(ranges: Ranges, sqlite_url: str) -> None:
    """Whom the application logs in without asking a backend, or somebody else than it has asked about, has typed
    nothing; nor has who is gone by then."""
    async with opened(sqlite_url, passwords=asking(ranges, "change")) as auth:
        await without_asking(auth)
        told = Told(auth)

        async def enter(request: Any) -> str:
            await request.auth.authenticate(username="ann", password=PASSWORD)
            await request.auth.login(await user_named(auth, "bob"))
            return str(request.user.username)

        async def vanish(request: Any) -> str:
            user = await request.auth.authenticate(username="ann", password=PASSWORD)
            await auth.users.delete(user)
            await request.auth.login(user)
            return ""

        browser = client(site(auth, enter=enter, vanish=vanish))
        assert (await browser.get("/enter")).json() == "bob"
        assert told.kinds() == [UserLoggedIn]
        assert error(await browser.get("/vanish")) == (401, "login_refused")
