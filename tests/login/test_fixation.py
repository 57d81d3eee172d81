"""T03: an id that somebody planted is never the id of whoever logs in, steps up, changes a password or leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from asgiauth import Auth
from asgiauth.sessions.record import key_of, new_token
from asgiauth.testing import Client, Clock, client

from .helpers import (
    ANN,
    CHANGE,
    LOGIN,
    LOGOUT,
    NOBODY,
    PASSWORD,
    SESSION,
    Extension,
    Step,
    another,
    cookies_of,
    error,
    log_in,
    opened,
    prove,
    site,
    steps,
)


@dataclass
class Victim:
    """A browser with a planted cookie, and every id that it has had."""

    auth: Auth
    feature: Extension
    clock: Clock
    browser: Client
    known: list[str] = field(default_factory=list)

    async def does(self, answer: Awaitable[httpx2.Response]) -> httpx2.Response:
        spoken = await answer
        self.browser.headers.pop("cookie", None)
        if token := cookies_of(spoken).get(SESSION):
            self.known.append(token)
        return spoken

    async def log_in(self, name: str = "ann") -> httpx2.Response:
        return await self.does(log_in(self.browser, name))


async def remember(request: Any) -> None:
    request.session["cart"] = request.query_params["cart"]


@pytest.fixture
async def victim(sqlite_url: str) -> AsyncIterator[Victim]:
    feature, clock = steps(Step("totp", applies=lambda user, attempt: user.username == "cat")), Clock()
    async with opened(sqlite_url, "ann", "bob", "cat", "mallory", features=[feature], clock=clock) as auth:
        yield Victim(auth, feature, clock, client(site(auth, remember=remember)))


# What is planted


async def never_issued(victim: Victim) -> str:
    return f"{SESSION}={new_token()}"


async def anonymous(victim: Victim) -> str:
    attacker = another(victim.browser)
    await attacker.get("/remember?cart=theirs")
    return f"{SESSION}={attacker.cookies[SESSION]}"


async def the_attackers_own(victim: Victim) -> str:
    attacker = another(victim.browser)
    await log_in(attacker, "mallory")
    await attacker.get("/remember?cart=theirs")
    return f"{SESSION}={attacker.cookies[SESSION]}"


async def expired(victim: Victim) -> str:
    cookie = await anonymous(victim)
    victim.clock.advance(days=8)
    return cookie


async def doubled(victim: Victim) -> str:
    cookie = await anonymous(victim)
    return f"{cookie}; {cookie}"


async def from_a_subdomain(victim: Victim) -> str:
    return (await anonymous(victim)).removeprefix("__Host-")


# The ways in, and out


async def login(victim: Victim) -> None:
    await victim.log_in()


async def login_again(victim: Victim) -> None:
    await victim.log_in()
    await victim.log_in()


async def login_of_another(victim: Victim) -> None:
    await victim.log_in("bob")
    await victim.log_in()


async def step(victim: Victim) -> None:
    await victim.does(victim.browser.post(LOGIN, json={**ANN, "username": "cat"}))
    assert (await victim.does(prove(victim.browser, "totp"))).status_code == 200


async def password_change(victim: Victim) -> None:
    await victim.log_in()
    passwords = {"old_password": PASSWORD, "new_password": "another horse"}
    assert (await victim.does(victim.browser.post(CHANGE, json=passwords))).status_code == 204


async def logout(victim: Victim) -> None:
    await victim.log_in()
    answer = await victim.browser.post(LOGOUT)
    assert (answer.status_code, cookies_of(answer)[SESSION]) == (204, "")


PLANTED = [never_issued, anonymous, the_attackers_own, expired, doubled, from_a_subdomain]
WAYS = [login, login_again, login_of_another, step, password_change, logout]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.__name__)
async def test_T03_no_planted_id_survives(
    victim: Victim, planted: Callable[[Victim], Awaitable[str]], way: Any
) -> None:
    """A fresh id each time, every earlier one dead on the server, and data only from an anonymous visit."""
    cookie = await planted(victim)
    victim.browser.headers["cookie"] = cookie
    assert (await victim.browser.get("/who")).json()[0] == ("mallory" if planted is the_attackers_own else "")
    if planted is not doubled:  # a browser takes what it is given in place of the one that was planted
        del victim.browser.headers["cookie"]
        name, _, token = cookie.partition("=")
        victim.browser.cookies.set(name, token, domain="site.example", path="/")
    await way(victim)
    planted_token = cookie.rpartition("=")[2]
    assert len({planted_token, *victim.known}) == 1 + len(victim.known)
    seen = (await another(victim.browser).get("/who", headers={"cookie": f"{SESSION}={victim.known[-1]}"})).json()
    assert seen[0] == {"step": "cat", "logout": ""}.get(way.__name__, "ann")
    kept = planted is anonymous and way not in (login_of_another, logout)
    assert seen[3] == ({"cart": "theirs"} if kept else {})
    dead = [planted_token, *victim.known[: len(victim.known) - (way is not logout)]]
    rows = victim.auth.tables.session
    for token in dead:
        if token != planted_token or planted in (never_issued, anonymous, the_attackers_own):
            assert await victim.feature.count(rows, rows.c.key == key_of(token)) == 0
            answer = await another(victim.browser).get("/who", headers={"cookie": f"{SESSION}={token}"})
            assert answer.json() == NOBODY


@pytest.mark.parametrize("way", [login, step, password_change, logout], ids=lambda way: way.__name__)
async def test_T03_a_forgery_token_from_before_does_not_hold_after(victim: Victim, way: Any) -> None:
    """A7.3: the token that an attacker could have read is worth nothing once somebody is logged in, or is not."""
    browser = victim.browser
    if way in (password_change, logout):
        await log_in(browser)
    before = (await browser.get("/api/auth/session")).json()["csrf_token"]
    await way(victim)
    if way is logout:
        await log_in(browser)
    del browser.headers["Sec-Fetch-Site"]  # without any of a browser's own headers, it is the token that counts
    assert error(await browser.post("/who", headers={"X-CSRF-Token": before})) == (403, "csrf_failed")
    after = (await browser.get("/api/auth/session")).json()["csrf_token"]
    assert (await browser.post("/who", headers={"X-CSRF-Token": after})).status_code == 200
