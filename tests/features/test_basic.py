"""A22.3, RFC 7617: scripts that send name and password with each request, and what that does not open."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgiauth import login_required
from asgiauth.backends import AllowAllUsersPasswordBackend, RemoteUserBackend
from asgiauth.events import LoginFailed, UserLoggedIn
from asgiauth.exceptions import ConfigurationError, LoginRefused, TooManyAttempts, Unavailable
from asgiauth.features.basic import HttpBasic
from asgiauth.guards import group, recent_login, requires
from asgiauth.passwords import BreachedPasswordValidator
from asgiauth.testing import Clock, WebSocketRefused, client, websocket

from ..conftest import BASE_URL, FAST, program
from ..login.helpers import ANN, CHANGE, LOGOUT, Extension, Step, Told, error, log_in, opened, site, steps, user_named
from ..sites import COOKIE, PASSWORD, count

FOREIGN = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
CHALLENGES = ["Cookie", 'Basic realm="Log in"', 'charset="UTF-8"']


def basic(username: str = "ann", password: str = PASSWORD) -> dict[str, str]:
    return raw(f"{username}:{password}".encode())


def raw(credentials: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(credentials).decode()}"}


NOBODY: list[Any] = ["", [], False, {}]


async def test_A22_3_a_script_is_known_by_name_and_password_at_each_request(url: str) -> None:
    """No session, no cookie, no last_login; no name, or a wrong password, is nobody where everybody may come, and 401
    elsewhere."""
    told = Told()
    async with opened(url, "ann", features=[HttpBasic(), told.feature]) as auth:
        await auth.users.update(await user_named(auth, "ann"), email="ann@example.com")
        script = program(site(auth))
        told.inside.clear()
        for name in ("ann", "ANN", "ann@example.com"):
            answer = await script.get("/who", headers=basic(name))
            assert answer.json() == ["ann", ["authenticated"], False, {}]
            assert "set-cookie" not in answer.headers
            assert (await script.get("/guarded", headers=basic(name))).status_code == 200
        assert told.kinds() == []
        for headers in ({}, basic("ann", "wrong"), basic("unknown"), basic("ann", "")):
            assert (await script.get("/who", headers=headers)).json() == NOBODY
            refused = await script.get("/guarded", headers=headers)
            assert error(refused) == (401, "not_authenticated")
            assert refused.headers.get_list("www-authenticate", split_commas=True) == CHALLENGES
            assert refused.headers.get_list("vary", split_commas=True) == ["Cookie", "Authorization"]
        assert set(told.kinds()) == {LoginFailed}
        assert (await user_named(auth, "ann")).last_login is None
    assert await count(url, auth.tables.session) == 0


async def test_A22_3_a_guard_asks_for_the_groups_of_a_script(sqlite_url: str) -> None:
    """What Django's `groups_for_user` tells Apache."""

    @requires(group("editors"))
    async def edit(request: Request) -> Any:
        return request.user.username

    async with opened(sqlite_url, "ann", "bob", features=[HttpBasic()]) as auth:
        await auth.groups.create("editors")
        await auth.groups.add(await user_named(auth, "ann"), "editors")
        script = program(site(auth, edit=edit))
        assert (await script.get("/edit", headers=basic("ann"))).json() == "ann"
        assert error(await script.get("/edit", headers=basic("bob"))) == (403, "permission_denied")
        assert error(await script.get("/edit", headers=basic("unknown"))) == (401, "not_authenticated")


async def test_A22_3_without_the_feature_the_header_means_nothing(sqlite_url: str) -> None:
    async with opened(sqlite_url, "ann") as auth:
        refused = await program(site(auth)).get("/guarded", headers=basic())
        assert refused.headers["www-authenticate"] == "Cookie"


async def test_A22_3_a_browser_is_not_asked_for_a_password_by_its_own_window(sqlite_url: str) -> None:
    """It tells what it is, and keeps to the login page."""
    async with opened(sqlite_url, features=[HttpBasic()]) as auth:
        browser = client(site(auth), headers={"sec-fetch-mode": "cors"})
        assert (await browser.get("/guarded")).headers["www-authenticate"] == "Cookie"
        wrong = await browser.post("/api/auth/login", json=ANN)
        assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, "Cookie")


async def test_A22_3_a_401_of_the_applications_own_is_left_alone(sqlite_url: str) -> None:
    async with opened(sqlite_url, features=[HttpBasic()]) as auth:
        answer = await program(site(auth)).get("/starlettes-own")
        assert answer.status_code == 401
        assert "www-authenticate" not in answer.headers


async def test_RFC7617_a_password_may_hold_colons_and_any_letter(sqlite_url: str) -> None:
    """In UTF-8; the scheme in any case; more than one space, as HTTP allows."""
    password = "pæss:wörd::☃ "
    async with opened(sqlite_url, features=[HttpBasic("Shop")]) as auth:
        await auth.users.create("ann", password=password)
        script = program(site(auth))
        assert (await script.get("/who", headers=basic("ann", password))).json()[0] == "ann"
        assert (await script.get("/who", headers=raw(f"ann:{password}".encode("utf-16")))).json()[0] == ""
        encoded = basic("ann", password)["Authorization"].split()[1]
        for scheme in ("basic ", "BASIC ", "Basic   "):
            assert (await script.get("/who", headers={"Authorization": scheme + encoded})).json()[0] == "ann"
        challenge = (await script.get("/guarded")).headers["www-authenticate"]
        assert challenge == 'Cookie, Basic realm="Shop", charset="UTF-8"'


GOOD = basic()["Authorization"]
MALFORMED: dict[str, list[bytes]] = {
    "twice": [GOOD.encode(), GOOD.encode()],
    "joined": [f"{GOOD}, {GOOD}".encode()],
    "another scheme": [GOOD.replace("Basic", "Bearer").encode()],
    "no scheme": [GOOD.split()[1].encode()],
    "nothing": [b""],
    "scheme alone": [b"Basic", b"Basic "],
    "no base64": [b"Basic ann:correct horse"],
    "bad padding": [GOOD.encode() + b"="],
    "url-safe alphabet": [b"Basic " + b64encode("ann:\xff\xfe\xfa".encode("latin-1")).replace(b"/", b"_")],
    "no UTF-8": [b"Basic " + b64encode(b"ann:\xff")],
    "no colon": [b"Basic " + b64encode(b"ann")],
    "no name": [b"Basic " + b64encode(b":correct horse")],
    "a NUL": [b"Basic " + b64encode(b"ann\x00:correct horse")],
    "a line": [b"Basic " + b64encode(b"ann:correct horse\r\n")],
    "a surrogate": [b"Basic " + b64encode(b"ann:\xed\xa0\x80")],
    "not ASCII": [b"Basic \xe4\xf6"],
    "too long": [b"Basic " + b64encode(b"ann:" + b"x" * 4096)],
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_RFC7617_what_is_not_well_formed_is_nobody_and_costs_nothing(sqlite_url: str, case: str) -> None:
    """No hash, no query, no failed login that could be counted against somebody."""
    told = Told()
    async with opened(sqlite_url, "ann", features=[HttpBasic(), told.feature]) as auth:
        told.inside.clear()
        headers = [(b"authorization", value) for value in MALFORMED[case]]
        answer = await program(site(auth)).get("/who", headers=headers)
        assert (answer.status_code, answer.json()) == (200, NOBODY)
        assert told.inside == []


@pytest.mark.parametrize("credentials", [("ann", "x" * 2000), ("n" * 300, PASSWORD), ("ann", " "), ("a" * 151, "x")])
async def test_D35_the_longest_of_names_and_passwords_is_a_wrong_one(
    sqlite_url: str, credentials: tuple[str, str]
) -> None:
    async with opened(sqlite_url, "ann", features=[HttpBasic()]) as auth:
        assert (await program(site(auth)).get("/who", headers=basic(*credentials))).json() == NOBODY


# The same as a login


@pytest.mark.parametrize("inactive_may", [False, True])
async def test_V062_the_inactive_are_nobody_whatever_the_backend_says(sqlite_url: str, inactive_may: bool) -> None:
    backends: Any = [AllowAllUsersPasswordBackend()] if inactive_may else None
    async with opened(sqlite_url, "ann", backends=backends, features=[HttpBasic()]) as auth:
        await auth.users.update(await user_named(auth, "ann"), is_active=False)
        assert (await program(site(auth)).get("/who", headers=basic())).json() == NOBODY


class Guard:
    def __init__(self, why: Exception) -> None:
        self.why = why
        self.seen: list[Any] = []

    async def admit(self, attempt: Any) -> None:
        self.seen.append(dict(attempt.credentials))
        raise self.why


async def test_T14_login_guards_are_asked_and_see_no_password(sqlite_url: str) -> None:
    for why, expected in (
        (TooManyAttempts(retry_after=7), (429, "too_many_attempts")),
        (Unavailable("the counter is down", retry_after=3), (503, "unavailable")),
        (LoginRefused("no"), (401, "not_authenticated")),
    ):
        guard = Guard(why)
        async with opened(sqlite_url, features=[HttpBasic(), Extension(login_guards=[guard])]) as auth:
            answer = await program(site(auth)).get("/guarded", headers=basic())
            assert error(answer) == expected
            assert guard.seen == [{"username": "ann", "password": "*" * 20}]
            assert answer.headers.get("retry-after") == {429: "7", 503: "3"}.get(expected[0])


async def test_B1_a_second_factor_is_not_stepped_around(sqlite_url: str) -> None:
    """DESIGN 1: whoever has set one up is nobody here; nothing is left waiting. Others are known."""
    feature = steps(Step("totp", applies=lambda user, attempt: user.username == "ann"))
    async with opened(sqlite_url, "ann", "bob", features=[HttpBasic(), feature]) as auth:
        script = program(site(auth))
        assert (await script.get("/who", headers=basic("ann"))).json() == NOBODY
        assert (await script.get("/guarded", headers=basic("ann"))).status_code == 401
        assert (await script.get("/who", headers=basic("bob"))).json()[0] == "bob"
        assert await feature.count(auth.tables.pending_login) == 0


async def test_D13_a_password_that_must_be_changed_opens_nothing(sqlite_url: str) -> None:
    async with opened(sqlite_url, "ann", features=[HttpBasic()]) as auth:
        ann = await user_named(auth, "ann")
        script = program(site(auth))
        await auth.users.require_password_change(ann)
        assert (await script.get("/who", headers=basic())).json() == NOBODY
        await auth.users.require_password_change(ann, required=False)
        assert (await script.get("/who", headers=basic())).json()[0] == "ann"


async def test_D13_a_password_that_is_too_old_opens_nothing(sqlite_url: str) -> None:
    clock, policy = Clock(), replace(FAST, max_age=timedelta(days=90))
    async with opened(sqlite_url, "ann", passwords=policy, clock=clock, features=[HttpBasic()]) as auth:
        script = program(site(auth))
        assert (await script.get("/who", headers=basic())).json()[0] == "ann"
        clock.advance(days=90)
        assert (await script.get("/who", headers=basic())).json() == NOBODY


class Leaked(BreachedPasswordValidator):
    async def count(self, password: str) -> int:
        return 7


@pytest.mark.parametrize(("on_login", "name"), [("notify", "ann"), ("change", "")])
async def test_D07_a_password_from_a_breach_opens_nothing_where_a_login_would_ask_for_another(
    sqlite_url: str, on_login: Any, name: str
) -> None:
    policy = replace(FAST, validators=[Leaked(on_login=on_login)])
    async with opened(sqlite_url, passwords=policy, features=[HttpBasic()]) as auth:
        await auth.users.create("ann", password=PASSWORD, validate=False)
        for _ in range(2):
            assert (await program(site(auth)).get("/who", headers=basic())).json()[0] == name


async def test_V062_a_user_who_is_deactivated_between_password_and_answer_is_nobody(sqlite_url: str) -> None:
    """What is checked is checked again, on the row as it then is."""

    async with opened(sqlite_url, "ann", features=[HttpBasic()]) as auth:
        verified = auth.users.verified

        async def slowly(user: Any, password: str) -> Any:
            found = await verified(user, password)
            await auth.users.update(await user_named(auth, "ann"), is_active=False)
            return found

        auth.users.verified = slowly  # type: ignore[method-assign]
        assert (await program(site(auth)).get("/who", headers=basic())).json() == NOBODY


async def test_D02_a_full_queue_of_hashes_is_503(sqlite_url: str) -> None:
    """Of more requests than can be hashed some are told when to come again; none is let in without."""
    policy = replace(FAST, hash_slots=1, hash_queue=1)
    async with opened(sqlite_url, "ann", passwords=policy, features=[HttpBasic()]) as auth:
        script = program(site(auth))
        answers = await asyncio.gather(*(script.get("/guarded", headers=basic()) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200, 503}
        assert {answer.headers.get("retry-after") for answer in answers} == {None, "2"}
        assert not [answer for answer in answers if answer.status_code == 200 and answer.json()[0] != "ann"]


# Beside sessions, and from other sites


async def test_a_session_goes_before_the_header(sqlite_url: str) -> None:
    """And only a session is a recent login."""

    @requires(recent_login(minutes=5))
    async def recent(request: Request) -> Any:
        return request.user.username

    async with opened(sqlite_url, "ann", "bob", features=[HttpBasic()]) as auth:
        browser = client(site(auth, recent=recent))
        assert error(await browser.get("/recent", headers=basic())) == (403, "recent_login_required")
        await log_in(browser, "bob")
        assert (await browser.get("/who", headers=basic("ann"))).json()[0] == "bob"
        assert (await browser.get("/who", headers=basic("ann", "wrong"))).json()[0] == "bob"
        assert (await browser.get("/recent", headers=basic())).json() == "bob"


async def test_D18_what_a_browser_sends_by_itself_needs_the_sites_own_word(sqlite_url: str) -> None:
    """Once it was asked for the password it sends it with whatever another site causes."""
    async with opened(sqlite_url, "ann", features=[HttpBasic()]) as auth:
        for headers in (FOREIGN, {"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}, {}):
            for path in ("/who", LOGOUT, CHANGE):
                answer = await program(site(auth)).post(path, headers={**basic(), **headers}, data={"a": "b"})
                assert error(answer) == (403, "csrf_failed")
        for headers in (FOREIGN, {"origin": "https://evil.example"}, {"cookie": "a=b"}):
            answer = await program(site(auth)).post("/who", headers={**basic(), **headers}, json={})
            assert error(answer) == (403, "csrf_failed")


async def test_D18_a_script_sends_json_or_says_where_it_is(sqlite_url: str) -> None:
    async with opened(sqlite_url, "ann", features=[HttpBasic()]) as auth:
        script = program(site(auth))
        assert (await script.post("/who", headers=basic(), json={})).json()[0] == "ann"
        assert (await script.post("/who", headers={**basic(), "origin": BASE_URL}, data={"a": "b"})).json()[0] == "ann"
        body = {"old_password": PASSWORD, "new_password": "quite another one"}
        assert (await script.post(CHANGE, headers=basic(), json=body)).status_code == 204
        assert (await script.get("/who", headers=basic())).json() == NOBODY
        assert (await script.get("/who", headers=basic("ann", "quite another one"))).json()[0] == "ann"


@login_required
async def looking(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.receive_text()
            user = await websocket.auth.refresh()
            await websocket.send_json(user and user.username)
    except WebSocketDisconnect:
        pass


async def look(socket: Any) -> Any:
    await socket.send_text("")
    return await socket.receive_json()


@pytest.mark.parametrize("change", ["password", "deactivate", "delete", "require"])
async def test_a_websocket_looks_again_without_another_hash(sqlite_url: str, change: str) -> None:
    """And ends with the password, and with what else would end a login."""
    async with opened(sqlite_url, "ann", features=[HttpBasic()]) as auth:
        browser = client(site(auth, WebSocketRoute("/look", looking)))
        hashed, verify = [], auth.passwords.verify_and_upgrade

        async def counted(password: str, encoded: str) -> Any:
            hashed.append(password)
            return await verify(password, encoded)

        auth.passwords.verify_and_upgrade = counted  # type: ignore[method-assign]
        async with websocket(browser, "/look", headers=basic()) as socket:
            assert [await look(socket) for _ in range(3)] == ["ann"] * 3
            ann = await user_named(auth, "ann")
            match change:
                case "password":
                    await auth.users.set_password(ann, "quite another one")
                case "deactivate":
                    await auth.users.update(ann, is_active=False)
                case "delete":
                    await auth.users.delete(ann)
                case _:
                    await auth.users.require_password_change(ann)
            assert await look(socket) is None
        assert hashed == [PASSWORD]
        with pytest.raises(WebSocketRefused):
            async with websocket(browser, "/look", headers=basic("ann", "wrong")):
                raise AssertionError


async def test_a_proxys_word_and_basic_may_come_together(sqlite_url: str) -> None:
    """As from a proxy that passes the header on by which it has asked itself: the session of its user counts."""
    backends: Any = [RemoteUserBackend(), AllowAllUsersPasswordBackend()]
    options: dict[str, Any] = {"backends": backends, "trusted_proxies": ["127.0.0.1"], "features": [HttpBasic()]}
    async with opened(sqlite_url, "ann", **options) as auth:
        browser = client(site(auth))
        answer = await browser.get("/who", headers={**basic(), "Remote-User": "ann"})
        assert answer.json() == ["ann", ["authenticated"], True, {}]
        assert COOKIE in browser.cookies
        assert (await client(site(auth)).get("/who", headers=basic())).json()[2] is False


async def test_no_event_of_a_login_is_told(sqlite_url: str) -> None:
    told = Told()
    async with opened(sqlite_url, "ann", features=[HttpBasic(), told.feature]) as auth:
        await program(site(auth)).get("/who", headers=basic())
    assert UserLoggedIn not in told.kinds()


@pytest.mark.parametrize("realm", ['a"b', "a\\b", "ü", "a\nb"], ids=ascii)
def test_a_realm_that_a_header_cannot_hold_is_refused(realm: str) -> None:
    with pytest.raises(ConfigurationError, match="printable ASCII"):
        HttpBasic(realm)
