"""B4.6: a login that ends in a new password, and nobody is in before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from starlette.requests import Request

from asgiauth.events import Event, PasswordChanged, UserLoggedIn
from asgiauth.exceptions import ConfigurationError
from asgiauth.sessions.pending import MAX_CHOICES
from asgiauth.testing import client

from ..conftest import FAST, make_auth
from .helpers import (
    ANN,
    LOGIN,
    PASSWORD,
    PENDING,
    SESSION,
    Site,
    Step,
    another,
    cookies_of,
    error,
    is_nobody,
    prove,
    site,
    steps,
    user_named,
)
from .renewing import NEW, STEP, TOTP, flagged_at, place, renew, state_of

MANY = 50


@pytest.fixture
async def flagged(url: str) -> AsyncIterator[Site]:
    """Ann must choose another password; on each server."""
    async with flagged_at(url) as site:
        yield site


@pytest.fixture
async def second(url: str) -> AsyncIterator[Site]:
    """And has a second factor."""
    async with flagged_at(url, TOTP) as site:
        yield site


# The step


async def test_B4_6_after_the_old_password_the_user_is_nobody_until_there_is_a_new_one(flagged: Site) -> None:
    """DESIGN 1.5: no session, no event, no last_login; then all of them, the new password, and no flag."""
    told: list[type[Event]] = []

    async def tell(event: Event) -> None:
        told.append(type(event))

    flagged.auth.events.on(Event, tell)
    answer = await flagged.password()
    assert answer.json()["detail"]["steps"] == [STEP]
    assert list(cookies_of(answer)) == [PENDING]
    assert await is_nobody(flagged.browser)
    assert (await flagged.sessions(), await flagged.waiting(), told) == (0, 1, [])
    assert (await user_named(flagged.auth, "ann")).last_login is None
    passed = await renew(flagged.browser)
    assert (passed.status_code, passed.json()["user"]["username"]) == (200, "ann")
    assert (list(cookies_of(passed)), cookies_of(passed)[PENDING]) == ([SESSION, PENDING], "")
    assert (await flagged.browser.get("/guarded")).json()[0] == "ann"
    assert (await flagged.browser.get("/api/auth/session")).json()["methods"] == ["password"], "it is no proof"
    assert (await flagged.sessions(), await flagged.waiting()) == (1, 0)
    assert told == [PasswordChanged, UserLoggedIn]
    for password, status in ((PASSWORD, 401), (NEW, 200)):
        answer = await another(flagged.browser).post(LOGIN, json={**ANN, "password": password})
        assert answer.status_code == status
        assert "steps" not in answer.json().get("detail", {})


async def test_others_are_let_in_and_so_is_who_was_asked_no_more(flagged: Site) -> None:
    bob = await flagged.browser.post(LOGIN, json={**ANN, "username": "bob"})
    assert bob.status_code == 200
    await flagged.auth.users.require_password_change(await user_named(flagged.auth, "ann"), required=False)
    assert (await flagged.browser.post(LOGIN, json=ANN)).status_code == 200


@pytest.mark.parametrize(
    ("password", "status", "fields"),
    [
        (PASSWORD, 422, ["password_reused"]),
        ("short", 422, ["password_too_short"]),
        ("", 422, ["password_too_short", "password_blank"]),
        ("x" * 1025, 422, ["password_too_long"]),
        ("\ud800" * 8, 422, ["password_not_unicode"]),
    ],
)
async def test_a_password_that_will_not_do_logs_nobody_in(
    flagged: Site, password: str, status: int, fields: list[str]
) -> None:
    """The old one least of all; choosing is no proof, and so may be tried more often than one."""
    await flagged.password()
    for _ in range(7):
        answer = await renew(flagged.browser, password)
        assert (answer.status_code, answer.json()["detail"]["fields"]) == (status, {"new_password": fields})
        assert not cookies_of(answer)
    assert await is_nobody(flagged.browser)
    assert await flagged.auth.users.check_password(await user_named(flagged.auth, "ann"), PASSWORD)
    assert (await renew(flagged.browser)).status_code == 200


async def test_D16_a_login_may_try_so_many_new_passwords_and_then_begins_anew(sqlite_url: str) -> None:
    """Each costs hashes, also one that is refused."""
    async with flagged_at(sqlite_url) as site:
        await site.password()
        for _ in range(MAX_CHOICES):
            assert (await renew(site.browser, PASSWORD)).status_code == 422
        for password in (PASSWORD, NEW):
            answer = await renew(site.browser, password)
            assert error(answer) == (429, "too_many_attempts")
            assert int(answer.headers["retry-after"]) == 600
        assert await site.auth.users.check_password(await user_named(site.auth, "ann"), PASSWORD)
        await site.password()
        assert (await renew(site.browser)).status_code == 200


async def test_the_history_counts_here_too(sqlite_url: str) -> None:
    async with place(sqlite_url, passwords=replace(FAST, history=3)) as site:
        ann = await user_named(site.auth, "ann")
        for password in (NEW, "third  horse"):
            await site.auth.users.set_password(ann, password)
        await site.auth.users.require_password_change(ann)
        answer = await site.browser.post(LOGIN, json={**ANN, "password": "third  horse"})
        assert answer.json()["detail"]["steps"] == [STEP]
        for old in (PASSWORD, NEW, "third  horse"):
            assert (await renew(site.browser, old)).json()["detail"]["fields"] == {"new_password": ["password_reused"]}
        assert (await renew(site.browser, "fourth horse")).status_code == 200
        assert await site.feature.count(site.auth.tables.password_history) == 3


async def test_nobody_gets_a_new_password_without_a_login_that_waits_for_it(flagged: Site) -> None:
    """Not without a pending login, with another user's, after it has ended, nor with an unneeded one."""
    for browser in (flagged.browser, another(flagged.browser)):
        assert error(await renew(browser)) == (401, "login_refused")
    await flagged.browser.post(LOGIN, json={**ANN, "username": "bob"})
    assert error(await renew(flagged.browser)) == (401, "login_refused"), "a session is no pending login"
    cookie = {"cookie": f"{PENDING}={cookies_of(await flagged.password())[PENDING]}"}
    flagged.clock.advance(minutes=10)
    assert error(await renew(another(flagged.browser), headers=cookie)) == (401, "login_refused")
    await flagged.password()
    await flagged.auth.users.require_password_change(await user_named(flagged.auth, "ann"), required=False)
    assert error(await renew(flagged.browser)) == (401, "login_refused")
    assert await flagged.auth.users.check_password(await user_named(flagged.auth, "ann"), PASSWORD)


async def test_the_step_cannot_be_passed_without_a_new_password(flagged: Site) -> None:
    """By a feature that calls `pass_step` with whatever name it is given."""
    await flagged.password()
    for name in ("password_change", "new_password", "login/password"):
        answer = await prove(flagged.browser, name)
        assert answer.status_code in (401, 404)
        assert not cookies_of(answer)
    assert await is_nobody(flagged.browser)


# The second factor comes first


async def test_D13_a_second_factor_comes_before_the_new_password(second: Site) -> None:
    """Whoever has stolen the old password can neither see the step nor take it."""
    answer = await second.password()
    assert [step["name"] for step in answer.json()["detail"]["steps"]] == ["totp"]
    for _ in range(3):
        assert error(await renew(second.browser)) == (401, "login_refused")
    assert await second.auth.users.check_password(await user_named(second.auth, "ann"), PASSWORD)
    proved = await prove(second.browser, "totp")
    assert (error(proved), proved.json()["detail"]["steps"]) == ((401, "step_required"), [STEP])
    assert await is_nobody(second.browser)
    assert error(await prove(second.browser, "totp")) == (401, "login_refused")
    passed = await renew(second.browser)
    assert (passed.status_code, passed.json()["user"]["username"]) == (200, "ann")
    assert (await second.browser.get("/api/auth/session")).json()["methods"] == ["password", "totp"]


async def test_a_second_factor_that_is_set_up_meanwhile_comes_first_too(sqlite_url: str) -> None:
    """A step that begins to apply while the login waits for the password has to be passed."""
    asked: list[bool] = []
    late = Step("totp", applies=lambda user, attempt: bool(asked))
    async with place(sqlite_url, late) as site:
        await site.auth.users.require_password_change(await user_named(site.auth, "ann"))
        assert (await site.password()).json()["detail"]["steps"] == [STEP]
        asked.append(True)
        assert error(await renew(site.browser)) == (401, "login_refused")
        assert (await prove(site.browser, "totp")).json()["detail"]["steps"] == [STEP]
        assert (await renew(site.browser)).status_code == 200


async def test_a_flag_that_is_set_while_a_factor_is_proved_counts(url: str) -> None:
    """It is read in the unit of work that would open the session."""
    async with place(url, TOTP) as site:
        await site.password()
        await site.auth.users.require_password_change(await user_named(site.auth, "ann"))
        assert (await prove(site.browser, "totp")).json()["detail"]["steps"] == [STEP]
        assert await site.sessions() == 0


@pytest.mark.parametrize("step", [Step("password_change"), Step("other", "new_password")])
async def test_no_feature_takes_the_name_of_the_step(sqlite_url: str, step: Step) -> None:
    with pytest.raises(ConfigurationError, match="built in"):
        make_auth(sqlite_url, features=[steps(step)])


# What ends, and what goes on


@pytest.mark.parametrize("logged_in", ["nobody", "ann", "bob"])
async def test_D13_every_other_session_ends_and_the_data_of_this_browser_goes_on(url: str, logged_in: str) -> None:
    """A visitor's data is kept, one's own too; another user's is dropped with the session."""

    async def keep(request: Request) -> None:
        request.session["kept"] = 1

    async with place(url) as at:
        at.browser = client(site(at.auth, keep=keep))
        others = [another(at.browser) for _ in range(2)]
        for other in others:
            await other.post(LOGIN, json=ANN)
        if logged_in != "nobody":
            await at.browser.post(LOGIN, json={**ANN, "username": logged_in})
        await at.browser.get("/keep")
        before = at.browser.cookies[SESSION]
        ann = await user_named(at.auth, "ann")
        await at.auth.users.require_password_change(ann)
        await at.password()
        assert [(await other.get("/who")).json()[0] for other in others] == ["ann", "ann"], "a flag ends no session"
        assert (await renew(at.browser)).status_code == 200
        assert [(await other.get("/who")).json()[0] for other in others] == ["", ""]
        assert (await another(at.browser).get("/who", headers={"cookie": f"{SESSION}={before}"})).json()[0] == ""
        assert (await at.browser.get("/who")).json()[3] == ({} if logged_in == "bob" else {"kept": 1})
        assert await at.sessions() == 1


async def by_new_password(at: Site) -> None:
    await at.auth.users.set_password(await user_named(at.auth, "ann"), "fourth horse")


async def by_epoch(at: Site) -> None:
    await at.auth.sessions.bump_epoch(await user_named(at.auth, "ann"))


async def by_deactivation(at: Site) -> None:
    await at.auth.users.update(await user_named(at.auth, "ann"), is_active=False)


async def by_django(at: Site) -> None:
    """A site beside us knows nothing of pending logins."""
    table = at.auth.tables.user
    async with at.auth._database.unit() as unit:
        await unit.changed(update(table).where(table.c.username == "ann").values(is_active=False))


async def by_deletion(at: Site) -> None:
    await at.auth.users.delete(await user_named(at.auth, "ann"))


ENDS = [by_new_password, by_epoch, by_deactivation, by_django, by_deletion]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_T13_the_pending_login_survives_its_own_change_and_no_other(
    flagged: Site, end: Callable[[Site], Any], when: str
) -> None:
    """Also one that happens while the new password is hashed: then it is not stored."""
    await flagged.password()
    if when == "before":
        await end(flagged)
    else:
        prepare = flagged.auth.users._credentials.prepare

        async def overtaken(*arguments: Any, **options: Any) -> Any:
            flagged.auth.users._credentials.prepare = prepare  # type: ignore[method-assign]
            new = await prepare(*arguments, **options)
            await end(flagged)
            return new

        flagged.auth.users._credentials.prepare = overtaken  # type: ignore[method-assign]
    answer = await renew(flagged.browser)
    assert error(answer) == (401, "login_refused")
    assert SESSION not in cookies_of(answer)
    assert await flagged.sessions() == 0
    ann = await flagged.auth.users.get_by(username="ann")
    assert ann is None or not await flagged.auth.users.check_password(ann, NEW)


async def test_T13_of_fifty_new_passwords_at_once_one_is_set(flagged: Site) -> None:
    """One session, one event; the winner's password is the password."""
    told: list[Event] = []

    async def tell(event: Event) -> None:
        told.append(event)

    flagged.auth.events.on(PasswordChanged, tell)
    cookie = {"cookie": f"{PENDING}={cookies_of(await flagged.password())[PENDING]}"}
    answers = await asyncio.gather(
        *(renew(another(flagged.browser), f"horse {n:04}", headers=cookie) for n in range(MANY))
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 401, 429}
    assert (await flagged.sessions(), await flagged.waiting(), len(told)) == (1, 0, 1)
    ann = await user_named(flagged.auth, "ann")
    assert await flagged.auth.users.check_password(ann, f"horse {statuses.index(200):04}")


async def test_a_listener_that_fails_takes_all_of_it_back(flagged: Site) -> None:
    """Of the change or of the login: the old password, the flag and the pending login are there as before."""
    breaks: list[type[Event]] = []

    async def fail(event: Event) -> None:
        if type(event) in breaks:
            raise LookupError

    flagged.auth.events.on(Event, fail)
    await flagged.password()
    for kind in (PasswordChanged, UserLoggedIn):
        breaks[:] = [kind]
        with pytest.raises(LookupError):
            await renew(flagged.browser)
        assert (await flagged.sessions(), await flagged.waiting()) == (0, 1)
        ann = await user_named(flagged.auth, "ann")
        assert await flagged.auth.users.check_password(ann, PASSWORD)
        assert await state_of(flagged.auth, ann) == (True, None)
    breaks.clear()
    assert (await renew(flagged.browser)).status_code == 200
