"""A login that needs more than the password: until the last step has passed, the user is nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from asgiauth import StepRequired, User
from asgiauth.backends import PasswordBackend
from asgiauth.events import UserLoggedIn
from asgiauth.exceptions import ConfigurationError, LoginRefused
from asgiauth.login import LoginAttempt
from asgiauth.testing import Clock, client, websocket

from ..conftest import make_auth
from .helpers import (
    ANN,
    LOGIN,
    LOGOUT,
    NOBODY,
    PASSWORD,
    PENDING,
    SESSION,
    Site,
    Step,
    another,
    cookies_of,
    error,
    is_nobody,
    opened,
    prove,
    site,
    steps,
    user_named,
)

MANY = 50
TOTP, RECOVERY, TERMS = Step("totp"), Step("recovery"), Step("terms", "consent")


@pytest.fixture
async def one(url: str) -> AsyncIterator[Site]:
    """One requirement, two ways to meet it; on each server."""
    feature, clock = steps(TOTP, RECOVERY), Clock()
    async with opened(url, "ann", "bob", features=[feature], clock=clock) as auth:
        yield Site(auth, feature, clock)


@pytest.fixture
async def local(sqlite_url: str) -> AsyncIterator[Site]:
    """The same, on SQLite alone."""
    feature, clock = steps(TOTP, RECOVERY), Clock()
    async with opened(sqlite_url, "ann", "bob", features=[feature], clock=clock) as auth:
        yield Site(auth, feature, clock)


@pytest.fixture
async def two(url: str) -> AsyncIterator[Site]:
    """Two requirements; on each server."""
    feature, clock = steps(TOTP, TERMS), Clock()
    async with opened(url, "ann", features=[feature], clock=clock) as auth:
        yield Site(auth, feature, clock)


def pending(cookie: str) -> dict[str, str]:
    return {"cookie": f"{PENDING}={cookie}"}


async def at_once(count: int, work: Callable[[], Awaitable[httpx2.Response]]) -> list[httpx2.Response]:
    return list(await asyncio.gather(*(work() for _ in range(count))))


# After the password alone


async def test_after_the_password_alone_the_user_is_nobody_everywhere(one: Site) -> None:
    """DESIGN 1.5: no session, no event, no last_login; each step is named with its address."""
    told: list[UserLoggedIn] = []

    async def tell(event: UserLoggedIn) -> None:
        told.append(event)

    one.auth.events.on(UserLoggedIn, tell)
    answer = await one.password()
    assert answer.json()["detail"]["steps"] == [
        {"name": name, "requirement": "second factor", "url": f"/auth/steps/{name}"} for name in ("totp", "recovery")
    ]
    assert list(cookies_of(answer)) == [PENDING]
    assert await is_nobody(one.browser)
    assert (await one.sessions(), await one.waiting(), told) == (0, 1, [])
    assert (await user_named(one.auth, "ann")).last_login is None
    passed = await prove(one.browser, "totp")
    assert (passed.status_code, passed.json()["user"]["username"]) == (200, "ann")
    assert (list(cookies_of(passed)), cookies_of(passed)[PENDING]) == ([SESSION, PENDING], "")
    assert (await one.browser.get("/guarded")).json()[0] == (await one.browser.get("/starlettes-own")).json() == "ann"
    async with websocket(one.browser, "/guarded-socket") as socket:
        assert await socket.receive_text() == "ann"
    assert (await one.browser.get("/api/auth/session")).json()["methods"] == ["password", "totp"]
    assert (await one.sessions(), await one.waiting(), len(told)) == (1, 0, 1)
    assert (await user_named(one.auth, "ann")).last_login == one.clock()


async def test_the_pending_cookie_is_as_well_kept_as_a_sessions(local: Site) -> None:
    """D-12: __Host-, Secure, HttpOnly, ten minutes; cleared with the same attributes, never stored by a cache."""
    first = await local.password()
    (set_, cleared) = first.headers["set-cookie"], (await prove(local.browser, "totp")).headers.get_list("set-cookie")
    flags = "; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age="
    assert set_ == f"{PENDING}={cookies_of(first)[PENDING]}{flags}600"
    assert f"{PENDING}={flags}0" in cleared
    assert first.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("way", ["totp", "recovery"])
async def test_one_step_of_a_requirement_is_enough(local: Site, way: str) -> None:
    await local.password()
    assert (await prove(local.browser, way)).status_code == 200
    assert (await local.browser.get("/who")).json()[0] == "ann"
    assert (await local.browser.get("/api/auth/session")).json()["methods"] == ["password", way]


@pytest.mark.parametrize("order", [("totp", "terms"), ("terms", "totp")])
async def test_each_requirement_must_be_met_in_any_order(two: Site, order: tuple[str, str]) -> None:
    answer = await two.password(remember=True)
    assert [step["name"] for step in answer.json()["detail"]["steps"]] == ["totp", "terms"]
    first = await prove(two.browser, order[0])
    assert error(first) == (401, "step_required")
    assert [step["name"] for step in first.json()["detail"]["steps"]] == [order[1]]
    assert await is_nobody(two.browser)
    assert error(await prove(two.browser, order[0])) == (401, "login_refused"), "a passed step is not open any more"
    assert await is_nobody(two.browser)
    assert (await prove(two.browser, order[1])).status_code == 200
    session = (await two.browser.get("/api/auth/session")).json()
    assert session["methods"] == ["password", *order]
    assert session["expires_at"] == (two.clock() + timedelta(days=14)).isoformat(), "remember has lasted"


async def test_only_a_step_that_is_open_can_be_passed(sqlite_url: str) -> None:
    """One that is unknown, blank or does not apply logs nobody in."""
    other = Step("passkey", "third factor", lambda user, attempt: False)
    async with opened(sqlite_url, "ann", features=[steps(TOTP, other)]) as auth, client(site(auth)) as browser:
        assert error(await prove(browser, "totp")) == (401, "login_refused"), "no login is waiting"
        await browser.post(LOGIN, json=ANN)
        for name in ("passkey", "nonsense", "TOTP", "second factor", "password"):
            assert error(await prove(browser, name)) in [(401, "login_refused"), (429, "too_many_attempts")]
        assert await is_nobody(browser)


async def test_a_step_is_asked_whether_it_applies_to_this_user_and_attempt(sqlite_url: str) -> None:
    """It learns backend, method and remember, and no credentials; who needs no step is logged in at once."""
    seen: list[LoginAttempt] = []

    def applies(user: User, attempt: LoginAttempt) -> bool:
        seen.append(attempt)
        return user.username == "ann"

    feature = steps(Step("totp", applies=applies))
    async with opened(sqlite_url, "ann", "bob", features=[feature]) as auth, client(site(auth)) as browser:
        bob = await browser.post(LOGIN, json={**ANN, "username": "bob"})
        assert (bob.status_code, list(cookies_of(bob))) == (200, [SESSION])
        agent = {"user-agent": "Browser 1"}
        assert error(await browser.post(LOGIN, json={**ANN, "remember": True}, headers=agent)) == (401, "step_required")
        assert seen[-1] == LoginAttempt(
            address="127.0.0.1", device="Browser 1", backend="password", method="password", remember=True
        )
        await prove(browser, "totp", "wrong", headers=agent)
        assert [one for one in seen[1:] if one != seen[1]] == [], "it is the same at each request"


async def test_a_step_that_depends_on_the_address_does_not_vanish_with_the_first_request(sqlite_url: str) -> None:
    """What a step needs to know to apply is known at each request: else one requirement would open the session."""
    abroad = Step("mail", "known place", lambda user, attempt: attempt.address == "127.0.0.1")
    async with opened(sqlite_url, "ann", features=[steps(TOTP, abroad)]) as auth, client(site(auth)) as browser:
        answer = await browser.post(LOGIN, json=ANN)
        assert [step["name"] for step in answer.json()["detail"]["steps"]] == ["totp", "mail"]
        assert error(await prove(browser, "totp")) == (401, "step_required")
        assert await is_nobody(browser)
        assert (await prove(browser, "mail")).status_code == 200


# Ten minutes, five tries, one browser


async def test_a_pending_login_lasts_ten_minutes(one: Site) -> None:
    await one.password()
    one.clock.advance(minutes=9, seconds=59)
    assert error(await prove(one.browser, "totp", "wrong")) == (422, "invalid_fields")
    one.clock.advance(seconds=1)
    late = await prove(one.browser, "totp")
    assert (error(late), cookies_of(late)) == ((401, "login_refused"), {PENDING: ""})
    assert await one.sessions() == 0
    assert await is_nobody(one.browser)


async def test_D16_five_proofs_may_be_tried(one: Site) -> None:
    """The sixth is not looked at, were it right; the password gives five more."""
    await one.password()
    for _ in range(5):
        assert error(await prove(one.browser, "totp", "wrong")) == (422, "invalid_fields")
    for step in ("totp", "recovery"):
        sixth = await prove(one.browser, step)
        assert error(sixth) == (429, "too_many_attempts")
        assert int(sixth.headers["retry-after"]) > 0
    assert await is_nobody(one.browser)
    await one.password()
    assert (await prove(one.browser, "totp")).status_code == 200


async def test_D16_T13_of_fifty_proofs_at_once_five_are_looked_at(one: Site) -> None:
    cookie = pending(cookies_of(await one.password())[PENDING])
    wrong = await at_once(MANY, lambda: prove(another(one.browser), "totp", "wrong", headers=cookie))
    assert sorted(answer.status_code for answer in wrong) == [422] * 5 + [429] * (MANY - 5)
    assert (await prove(one.browser, "totp")).status_code == 429


async def test_T13_of_fifty_right_proofs_at_once_one_logs_in(one: Site) -> None:
    """The others are refused, for the tries or for the login that has ended; one session, one event."""
    told: list[str] = []

    async def tell(event: UserLoggedIn) -> None:
        told.append(event.session.id)

    one.auth.events.on(UserLoggedIn, tell)
    cookie = pending(cookies_of(await one.password())[PENDING])
    answers = await at_once(MANY, lambda: prove(another(one.browser), "totp", headers=cookie))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), set(statuses) - {200, 401, 429}) == (1, set())
    assert [list(cookies_of(answer)) for answer in answers if SESSION in cookies_of(answer)] == [[SESSION, PENDING]]
    assert (await one.sessions(), await one.waiting()) == (1, 0)


async def test_T13_of_fifty_steps_passed_at_once_one_counts(two: Site) -> None:
    """Also without counting tries, and also of a requirement that is not the last one."""

    async def passed(request: Request) -> str:
        try:
            outcome = await request.auth.pass_step(request.query_params["step"])
        except LoginRefused:
            return "refused"
        return "waits" if isinstance(outcome, StepRequired) else "in"

    browser = client(site(two.auth, passed=passed))
    cookie = pending(cookies_of(await two.password())[PENDING])
    for step, outcome in (("totp", "waits"), ("terms", "in")):
        answers = await at_once(MANY, lambda step=step: another(browser).get(f"/passed?step={step}", headers=cookie))  # type: ignore[misc]
        assert sorted(answer.json() for answer in answers) == sorted([outcome] + ["refused"] * (MANY - 1))
    assert (await two.sessions(), await two.waiting()) == (1, 0)


async def test_a_pending_login_belongs_to_its_browser(local: Site) -> None:
    """Without its cookie, with a changed or doubled one, with its hash, or as a session's, it is nobody's."""
    token = cookies_of(await local.password())[PENDING]
    digest = sha256(token.encode()).hexdigest()
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for cookie in (
        "",
        f"{PENDING}={changed}",
        f"{PENDING}={token}; {PENDING}={token}",
        f"{PENDING}={digest}",
        f"{PENDING}={digest[:43]}",
        f"{PENDING[7:]}={token}",
        f"{SESSION}={token}",
    ):
        answer = await prove(another(local.browser), "totp", headers={"cookie": cookie} if cookie else {})
        assert error(answer) == (401, "login_refused")
        assert not cookies_of(answer).get(SESSION)
    assert (await prove(local.browser, "totp")).status_code == 200
    stolen = await prove(another(local.browser), "totp", headers=pending(local.browser.cookies[SESSION]))
    assert error(stolen) == (401, "login_refused")


# What ends it


async def by_new_password(one: Site) -> None:
    await one.auth.users.set_password(await user_named(one.auth, "ann"), "another horse")


async def by_same_password(one: Site) -> None:
    await one.auth.users.set_password(await user_named(one.auth, "ann"), PASSWORD)


async def by_deactivation(one: Site) -> None:
    ann = await one.auth.users.update(await user_named(one.auth, "ann"), is_active=False)
    await one.auth.users.update(ann, is_active=True)


async def by_deletion(one: Site) -> None:
    await one.auth.users.delete(await user_named(one.auth, "ann"))


async def by_epoch(one: Site) -> None:
    await one.auth.sessions.bump_epoch(await user_named(one.auth, "ann"))


async def by_revocation(one: Site) -> None:
    await one.auth.sessions.revoke_all(await user_named(one.auth, "ann"))


async def by_logout(one: Site) -> None:
    assert (await one.browser.post(LOGOUT)).status_code == 204


async def by_completion(one: Site) -> None:
    assert (await prove(one.browser, "recovery")).status_code == 200


async def by_completion_and_logout(one: Site) -> None:
    await by_completion(one)
    await by_logout(one)


async def by_another_login(one: Site) -> None:
    await one.password()


ENDS = [value for name, value in sorted(globals().items()) if name.startswith("by_")]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_D13_a_pending_login_that_has_ended_logs_nobody_in(one: Site, end: Callable[[Site], Any]) -> None:
    """Whatever happens meanwhile, its cookie is worthless, forgotten, and stays so."""
    cookie = pending(cookies_of(await one.password())[PENDING])
    await end(one)
    before = await one.sessions()
    stranger = another(one.browser)
    for _ in range(2):
        answer = await prove(stranger, "totp", headers=cookie)
        assert (error(answer), cookies_of(answer)) == ((401, "login_refused"), {PENDING: ""})
    assert (await stranger.get("/who", headers=cookie)).json() == NOBODY
    assert await one.sessions() == before


@pytest.mark.parametrize("end", [by_new_password, by_deactivation, by_revocation, by_epoch], ids=lambda e: e.__name__)
@pytest.mark.parametrize("first", [False, True], ids=["last step", "first of two"])
async def test_T13_what_ends_it_while_the_step_is_passed_wins(
    two: Site, end: Callable[[Site], Any], first: bool
) -> None:
    """A request that had found the pending login already opens no session with it."""

    async def late(request: Request) -> str:
        assert request.auth.pending is not None
        await end(two)
        try:
            await request.auth.pass_step("terms")
        except LoginRefused:
            return "refused"
        return "passed"

    browser = client(site(two.auth, late=late))
    cookie = pending(cookies_of(await two.password())[PENDING])
    if not first:
        await prove(browser, "totp", headers=cookie)
    late_answer = (await browser.get("/late", headers=cookie)).json()
    assert first or late_answer == "refused"
    assert not first or error(await prove(browser, "totp", headers=cookie)) == (401, "login_refused")
    assert await two.sessions() == 0


async def test_a_backend_that_is_gone_completes_no_login(sqlite_url: str) -> None:
    """A6.14: as it keeps no session alive."""

    class Renamed(PasswordBackend[User]):
        name = "renamed"

    async with opened(sqlite_url, "ann", features=[steps(TOTP)]) as auth:
        cookie = pending(cookies_of(await client(site(auth)).post(LOGIN, json=ANN))[PENDING])
    async with opened(sqlite_url, backends=[Renamed()], features=[steps(TOTP)]) as auth:
        answer = await prove(client(site(auth)), "totp", headers=cookie)
        assert (error(answer), cookies_of(answer)) == ((401, "login_refused"), {PENDING: ""})


async def test_a_login_without_steps_ends_the_one_that_waits(sqlite_url: str) -> None:
    feature = steps(Step("totp", applies=lambda user, attempt: user.username == "ann"))
    async with opened(sqlite_url, "ann", "bob", features=[feature]) as auth, client(site(auth)) as browser:
        cookie = pending(cookies_of(await browser.post(LOGIN, json=ANN))[PENDING])
        answer = await browser.post(LOGIN, json={**ANN, "username": "bob"})
        assert (answer.status_code, cookies_of(answer)[PENDING]) == (200, "")
        assert await feature.count(auth.tables.pending_login) == 0
        assert error(await prove(another(browser), "totp", headers=cookie)) == (401, "login_refused")
        assert (await browser.get("/who")).json()[0] == "bob"


@pytest.mark.parametrize("given", [[TOTP, TOTP], [Step("")], [Step("x" * 101)]], ids=["twice", "blank", "too long"])
def test_steps_that_cannot_work_are_refused_when_auth_is_built(given: list[Step]) -> None:
    with pytest.raises(ConfigurationError):
        make_auth("sqlite:///never-opened.db", features=[steps(*given)])
