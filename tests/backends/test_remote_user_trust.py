"""D-34, A9.7, V-013, V-014, D-18: who is believed about the user, and what the header must not do."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from asgiauth import User
from asgiauth.backends import RemoteUserBackend
from asgiauth.guards import csrf_exempt
from asgiauth.testing import Client, client

from ..conftest import BASE_URL, program
from ..login.helpers import CHANGE, cookies_of, error, log_in, site, user_named
from ..sites import COOKIE, CSRF_COOKIE, PASSWORD, count
from .proxied import ANN, BOB, PROXY, behind_proxy, once, seen


def from_address(app: ASGIApp, client_: Any) -> Client:
    """A browser whose connection the application sees come from there."""

    async def renamed(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": client_}, receive, send)

    return client(app, transport=httpx2.ASGITransport(app=renamed))


FOREIGN = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
STRANGERS = [("203.0.113.9", 4711), ("10.1.2.4", 4711), ("2001:db8::1", 1), ("", 1), ("unix:", 1), ("proxy", 1), None]


@pytest.mark.parametrize("peer", STRANGERS, ids=ascii)
async def test_A9_7_the_header_of_a_stranger_is_not_believed(
    sqlite_url: str, peer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever X-Forwarded-For says. The log tells it once, without what was sent."""
    async with behind_proxy(sqlite_url, "ann", trusted_proxies=["10.1.2.3", "2001:db8:1::/48"]) as (auth, app):
        stranger = from_address(app, peer)
        for forwarded in (
            {},
            {"X-Forwarded-For": "10.1.2.3"},
            {"X-Forwarded-For": "10.1.2.3, 10.1.2.3", "Forwarded": "for=10.1.2.3"},
        ):
            assert await seen(stranger, {**ANN, **forwarded}) == ""
            assert await seen(stranger, {"Remote-User": "newuser", **forwarded}) == ""
    assert await count(sqlite_url, auth.tables.user) == 1
    assert await count(sqlite_url, auth.tables.session) == 0
    (record,) = caplog.records
    assert "trusted_proxies" in record.getMessage()
    assert "newuser" not in caplog.text


@pytest.mark.parametrize("peer", [("10.1.2.3", 4711), ("::ffff:10.1.2.3", 1), ("2001:db8:1:2::3", 65535)], ids=ascii)
async def test_D34_the_header_of_a_trusted_proxy_is_believed(sqlite_url: str, peer: Any) -> None:
    """Wherever it says that the client is."""
    async with behind_proxy(sqlite_url, "ann", trusted_proxies=["10.1.2.3", "2001:db8:1::/48"]) as (_, app):
        assert await seen(from_address(app, peer), {**ANN, "X-Forwarded-For": "203.0.113.9"}) == "ann"


async def test_D34_an_address_that_the_server_has_read_in_a_header_is_nobodys(sqlite_url: str) -> None:
    """uvicorn and hypercorn put what X-Forwarded-For says in the place of the peer, with the port 0."""
    async with behind_proxy(sqlite_url, "ann") as (_, app):
        assert await seen(from_address(app, (PROXY, 0)), ANN) == ""


async def test_V013_a_session_of_the_header_is_worth_nothing_around_the_proxy(sqlite_url: str) -> None:
    """Not even with the header, which is not believed there."""
    async with behind_proxy(sqlite_url, "ann") as (auth, app):
        for headers in ({}, ANN):
            browser = client(app)
            assert await seen(browser, ANN) == "ann"
            around = from_address(app, ("203.0.113.9", 4711))
            around.cookies = browser.cookies
            assert await seen(around, headers) == ""
            assert await count(sqlite_url, auth.tables.session) == 0


SPELLINGS: list[dict[str, str]] = [
    {"Remote_User": "ann"},
    {"REMOTE_USER": "ann"},
    {"HTTP_REMOTE_USER": "ann"},
    {"HTTP-Remote-User": "ann"},
    {"Remote-User-": "ann"},
    {"X-Remote-User": "ann"},
]


@pytest.mark.parametrize("headers", SPELLINGS, ids=lambda headers: next(iter(headers)))
async def test_V014_only_the_very_name_of_the_header_counts(sqlite_url: str, headers: dict[str, str]) -> None:
    """And beside it such another one changes nothing."""
    async with behind_proxy(sqlite_url, "ann", "bob") as (_, app):
        assert await once(app, headers) == ""
        assert await once(app, {**headers, **BOB}) == "bob"


@pytest.mark.parametrize(
    "values",
    [
        [b"ann", b"bob"],
        [b"bob", b"ann"],
        [b"ann", b"ann"],
        [b"ann", b""],
        [b"ann\xff"],
        [b"a" * 1025],
        [b"\t"],
        [b"ann\x00"],
    ],
    ids=ascii,
)
async def test_D34_a_header_that_is_not_one_name_names_nobody(sqlite_url: str, values: list[bytes]) -> None:
    """And so ends the login of whom it named before, persistent or not."""
    for persistent in (False, True):
        backend = RemoteUserBackend[User](persistent=persistent)
        async with behind_proxy(sqlite_url, backend=backend) as (auth, app):
            browser = client(app)
            assert await seen(browser, ANN) == "ann"
            headers = [(b"remote-user", value) for value in values]
            assert await seen(browser, headers) == ""
            assert await count(sqlite_url, auth.tables.session) == 0
            assert await once(app, headers) == ""


async def test_V013_the_header_decides_at_each_request(sqlite_url: str) -> None:
    """A, B, nobody, A: each session is another one, and none holds what belongs to somebody else."""
    async with behind_proxy(sqlite_url) as (auth, app):
        browser, tokens = client(app), set()
        for headers, name in ((ANN, "ann"), (BOB, "bob"), ({}, ""), (ANN, "ann"), (BOB, "bob")):
            assert (await browser.get("/who", headers=headers)).json()[0::3] == [name, {}]
            if name:
                tokens.add(browser.cookies[COOKIE])
                assert (await browser.get(f"/keep?note={name}", headers=headers)).json() == {"note": name}
        assert len(tokens) == 4
        assert await count(sqlite_url, auth.tables.session) == 1


async def test_V013_nothing_that_the_application_keeps_can_stand_for_the_header(sqlite_url: str) -> None:
    """The header is compared with the name of the session's user: once that is another one, the login is over."""
    async with behind_proxy(sqlite_url, "ann") as (auth, app):
        browser = client(app)
        assert await seen(browser, ANN) == "ann"
        ann = await user_named(auth, "ann")
        await auth.users.update(ann, username="anne")
        assert await seen(browser, ANN) == "ann"
        assert await user_named(auth, "ann") != ann


@pytest.mark.parametrize("planted", ["visitor's", "bob's", "unknown"])
async def test_T03_a_planted_session_is_never_the_one_that_the_header_opens(sqlite_url: str, planted: str) -> None:
    async with behind_proxy(sqlite_url, "ann", "bob") as (_, app):
        attacker = client(app)
        if planted == "bob's":
            await log_in(attacker, "bob")
        if planted != "unknown":
            assert (await attacker.get("/keep?note=planted")).status_code == 200
        token = attacker.cookies.get(COOKIE) or "A" * 43
        victim = client(app, cookies={COOKIE: token})
        assert await seen(victim, ANN) == "ann"
        (now,) = {cookie.value for cookie in victim.cookies.jar if cookie.domain == "site.example"}
        assert now != token
        for headers in ({}, {"Cookie": f"{COOKIE}={token}"}):
            assert await seen(client(app, headers=headers)) == ""


async def test_D34_the_answer_may_differ_by_the_header(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (_, app):
        answer = await client(app).get("/who", headers=ANN)
    assert answer.headers.get_list("vary", split_commas=True) == ["Cookie", "Remote-User"]
    assert answer.headers["cache-control"] == "no-store"


# What other sites cause


@pytest.mark.parametrize("headers", [FOREIGN, {"origin": "https://evil.example"}, {}], ids=["new", "old", "neither"])
@pytest.mark.parametrize("name", ["ann", "nobody"])
async def test_D18_another_site_causes_no_change_with_the_very_first_request(
    sqlite_url: str, headers: dict[str, str], name: str
) -> None:
    """Nor a session that would take the place of the browser's own, which it does not send across sites."""
    backend = RemoteUserBackend[User](create_unknown_user=False)
    async with behind_proxy(sqlite_url, "ann", backend=backend) as (auth, app):
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            sent = {"Remote-User": name, "Content-Type": kind, **headers}
            answer = await program(app).post("/who", headers=sent, content=b"{}")
            assert error(answer) == (403, "csrf_failed")
            assert "set-cookie" not in answer.headers
        assert error(await program(app).post(CHANGE, headers={**ANN, **headers}, json={})) == (403, "csrf_failed")
        assert (await user_named(auth, "ann")).last_login is None
    assert await count(sqlite_url, auth.tables.session) == 0


async def test_D18_the_sites_own_first_request_passes(sqlite_url: str) -> None:
    """By the headers of a browser; in an old one, by a token bound to the visitor's cookie, and by no other."""

    async def token(request: Any) -> str:
        return str(request.auth.csrf_token)

    async with behind_proxy(sqlite_url, "ann", views={"token": token}) as (_, app):
        for own in ({"sec-fetch-site": "same-origin"}, {"origin": BASE_URL}):
            answer = await program(app).post("/who", headers={**ANN, **own})
            assert answer.json()[0] == "ann"
        old = program(app)
        given = (await old.get("/token")).json()
        assert list(old.cookies) == [CSRF_COOKIE]
        assert error(await program(app).post("/who", headers={**ANN, "x-csrf-token": given})) == (403, "csrf_failed")
        assert (await old.post("/who", headers=ANN, data={"csrf_token": given})).json()[0] == "ann"
        assert error(await old.post("/who", headers=ANN, data={"csrf_token": given})) == (403, "csrf_failed")


@csrf_exempt
async def hook(request: Request) -> Response:
    return JSONResponse(request.user.username)


async def test_D18_what_is_exempt_is_exempt_with_the_header_too(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (auth, _):
        app = site(auth, Route("/hook", hook, methods=["POST"]))
        assert (await program(app).post("/hook", headers={**ANN, **FOREIGN})).json() == "ann"


async def test_A9_4_logging_out_lasts_until_the_next_request(sqlite_url: str) -> None:
    """As in Django: whom the proxy names is logged in, and only the proxy can end that."""
    async with behind_proxy(sqlite_url, "ann") as (_, app):
        browser = client(app, headers=ANN)
        assert await seen(browser) == "ann"
        answer = await browser.post("/api/auth/logout")
        assert cookies_of(answer) == {COOKIE: ""}
        assert await seen(browser) == "ann"


async def test_A9_4_a_login_by_password_works_beside_it(sqlite_url: str) -> None:
    """Who comes without the header, as through another door of the site."""
    async with behind_proxy(sqlite_url, "ann") as (_, app):
        browser = from_address(app, ("203.0.113.9", 4711))
        answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD}, headers=BOB)
        assert answer.status_code == 200
        assert await seen(browser, BOB) == "ann"
