"""The session cookie: its flags, what counts as one, and what a planted or stolen one is worth."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from asgiauth import Auth, SessionCookie, SessionPolicy
from asgiauth.exceptions import ConfigurationError
from asgiauth.testing import Clock

from ..conftest import client
from ..sites import COOKIE, CSRF_COOKIE, PASSWORD, START, connected, count, log_in, seen_as, site


@pytest.mark.parametrize(
    ("options", "remember", "name", "attributes"),
    [
        ({}, False, COOKIE, {"path": "/", "httponly": True, "samesite": "Lax", "secure": True}),
        (
            {},
            True,
            COOKIE,
            {"path": "/", "httponly": True, "samesite": "Lax", "secure": True, "max-age": str(30 * 86400)},
        ),
        (
            {"base_url": "http://localhost:8000"},
            False,
            "asgiauth",
            {"path": "/", "httponly": True, "samesite": "Lax"},
        ),
        ({"base_url": "http://127.0.0.1"}, False, "asgiauth", {"path": "/", "httponly": True, "samesite": "Lax"}),
        ({"base_url": "http://[::1]:80"}, False, "asgiauth", {"path": "/", "httponly": True, "samesite": "Lax"}),
        (
            {"realm": "staff", "sessions": SessionPolicy(cookie=SessionCookie("shop", "strict"))},
            False,
            "__Host-shop-staff",
            {"path": "/", "httponly": True, "samesite": "Strict", "secure": True},
        ),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_the_cookie_has_its_flags_and_is_deleted_with_the_same(
    sqlite_url: str, options: dict[str, Any], remember: bool, name: str, attributes: dict[str, Any]
) -> None:
    """D-12, T05: `__Host-`, Secure, HttpOnly, SameSite, Path=/, no Domain, no lifetime unless remembered."""
    async with connected(sqlite_url, **options) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        credentials = {"username": "ann", "password": PASSWORD, "remember": remember}
        (login,) = (await browser.post("/api/auth/login", json=credentials)).headers.get_list("set-cookie")
        (logout,) = (await browser.post("/api/auth/logout")).headers.get_list("set-cookie")
    for header, expected in ((login, attributes), (logout, {**attributes, "max-age": "0"})):
        (morsel,) = SimpleCookie(header).values()
        assert morsel.key == name
        assert {key: value for key, value in morsel.items() if value} == expected
        assert (len(morsel.value) == 43) == (header is login)


@pytest.mark.parametrize(
    "option", [{"same_site": "none"}, {"same_site": "Lax; Domain=x"}, {"name": "a b"}, {"name": ""}]
)
def test_a_cookie_that_would_be_weaker_is_a_configuration_error(option: Any) -> None:
    with pytest.raises(ConfigurationError):
        SessionCookie(**option)


@pytest.mark.parametrize("option", ["idle", "absolute", "remember_idle", "remember_absolute"])
def test_a_lifetime_that_is_over_before_it_is_noted_is_a_configuration_error(option: str) -> None:
    limits: dict[str, Any] = {option: timedelta(seconds=60)}
    with pytest.raises(ConfigurationError, match=option):
        SessionPolicy(**limits)


BAD_TOKENS = [
    "",
    " ",
    "null",
    "None",
    '""',
    "a",
    "A" * 42,
    "A" * 43,
    "A" * 44,
    "A" * 10_000,
    "=" * 43,
    "\u00e4" * 43,
    "A" * 42 + ".",
    "A" * 42 + "\t",
    "%00" * 14 + "A",
    "../../etc/passwd",
    "' OR 1=1 --",
    "{}",
]


async def test_a_cookie_that_is_no_token_is_anonymous_and_forgotten(url: str) -> None:
    """V-015, V-016, V-018, T06: never 5xx, never adopted, no row; the browser is told to drop it."""
    async with connected(url) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        for token in BAD_TOKENS:
            for method, path in (("GET", "/who"), ("GET", "/api/auth/session"), ("POST", "/api/auth/logout")):
                headers = [(b"cookie", f"{COOKIE}={token}".encode("latin-1"))]
                answer = await browser.request(method, path, headers=headers)
                assert answer.status_code in (200, 204), token
                assert answer.content in (b'""', b"") or answer.json()["user"] is None, token
                cookie, *others = answer.headers.get_list("set-cookie")
                assert [other.split("=")[0] for other in others] == [CSRF_COOKIE] * path.endswith("session"), token
                assert cookie.startswith(f"{COOKIE}=; "), token
                assert "Max-Age=0" in cookie, token
                assert answer.headers["cache-control"] == "no-store"
                assert "cookie" in answer.headers["vary"].lower()
        assert await count(url, auth.tables.session) == 0


async def test_only_the_exact_cookie_sent_once_counts(sqlite_auth: Auth) -> None:
    """V-018: two of one name mean that somebody has planted one; a look-alike is none."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth)) as browser:
        token = await log_in(browser)
    exact = f"{COOKIE}={token}"
    table: dict[str, list[str]] = {
        "ann": [exact, f"x=1; {exact}", f"{exact}; x=1", f";;{exact};", f"  {exact}  ", f"x={COOKIE}; {exact}"],
        "": [
            f"{exact}; {exact}",
            f"{exact}; {COOKIE}={'A' * 43}",
            f"{COOKIE}=; {exact}",
            f"{exact}; {COOKIE}=",
            f'{COOKIE}="{token}"',
            f"{COOKIE}= {token}",
            f"{COOKIE}={token}.",
            f"{COOKIE}={token},x=1",
            f"{COOKIE.lower()}={token}",
            f"{COOKIE.upper()}={token}",
            f"asgiauth={token}",
            f"__Secure-asgiauth={token}",
            f"x{exact}",
            f"{COOKIE}-staff={token}",
            f'x="; {COOKIE}=planted; y="; {exact}',
            token,
            f"x={exact}",
        ],
    }
    for name, cookies in table.items():
        for cookie in cookies:
            async with client(site(sqlite_auth)) as browser:
                answer = await browser.get("/who", headers={"cookie": cookie})
            assert (answer.status_code, answer.json()) == (200, name), cookie
    async with client(site(sqlite_auth)) as browser:
        split = await browser.get("/who", headers=[("cookie", "x=1"), ("cookie", exact)])
        twice = await browser.get("/who", headers=[("cookie", exact), ("cookie", exact)])
    assert (split.json(), twice.json()) == ("ann", "")


async def test_every_login_gives_a_fresh_token_and_kills_the_old_one(url: str) -> None:
    """D-13, T03: also as the same user, and as another one; one session row at a time."""
    async with connected(url) as auth, client(site(auth)) as browser:
        for name in ("ann", "bob"):
            await auth.users.create(name, password=PASSWORD)
        tokens: list[str] = []
        for name in ("ann", "ann", "bob", "ann"):
            tokens.append(await log_in(browser, name))
            assert len(set(tokens)) == len(tokens)
            assert [await seen_as(auth, token) for token in tokens] == ["", *[""] * (len(tokens) - 2), name][
                -len(tokens) :
            ]
            assert await count(url, auth.tables.session) == 1


@pytest.mark.parametrize("planted", ["A" * 43, "live session of the attacker", "ended session", "expired session"])
async def test_a_planted_token_is_never_adopted(sqlite_url: str, planted: str) -> None:
    """T03: whatever the attacker had planted, the victim's session has an id that he does not know."""
    clock = Clock(START)
    async with connected(sqlite_url, clock=clock) as auth, client(site(auth)) as attacker, client(site(auth)) as victim:
        for name in ("ann", "eve"):
            await auth.users.create(name, password=PASSWORD)
        token = planted if planted == "A" * 43 else await log_in(attacker, "eve")
        if planted == "ended session":
            await attacker.post("/api/auth/logout")
        if planted == "expired session":
            clock.advance(days=8)
        victim.cookies.set(COOKIE, token, domain="site.example", path="/")
        assert (await victim.get("/who")).json() == ("eve" if planted.startswith("live") else "")
        fresh = await log_in(victim)
        assert fresh != token
        assert await seen_as(auth, token) == ""
        assert await seen_as(auth, fresh) == "ann"


async def test_a_failed_login_keeps_the_session_that_was_open(sqlite_auth: Auth) -> None:
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth)) as browser:
        token = await log_in(browser)
        answer = await browser.post("/api/auth/login", json={"username": "ann", "password": "wrong"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert await seen_as(sqlite_auth, token) == "ann"


async def test_a_copy_of_the_database_logs_nobody_in(tmp_path: Path) -> None:
    """D-10, T04: every value of every table, as it is, in hex and in base64, tried as the cookie: 0 accepted. The token
    is nowhere in the files."""
    path = tmp_path / "copy.db"
    async with connected(f"sqlite:///{path}") as auth, client(site(auth)) as browser:
        await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        tokens = [await log_in(browser, remember=True)]
        async with client(site(auth)) as second:
            tokens.append(await log_in(second))
        values, raw = await asyncio.to_thread(_everything_in, path)
        assert len(values) > 20
        guesses = {guess for value in values for guess in _spellings(value)}
        assert any(len(guess) == 43 for guess in guesses)  # the digest in base64 looks like a token
        accepted = [guess for guess in guesses if await seen_as(auth, guess) != ""]
        assert accepted == []
        assert [await seen_as(auth, token) for token in tokens] == ["ann", "ann"]
    for token in tokens:
        for form in (token.encode(), base64.urlsafe_b64decode(token + "="), base64.b64encode(token.encode())):
            assert form not in raw


def _everything_in(path: Path) -> tuple[list[Any], bytes]:
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        values = [value for name in names for row in connection.execute(f'SELECT * FROM "{name}"') for value in row]
    connection.close()
    return values, b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def _spellings(value: Any) -> set[str]:
    data = value if isinstance(value, bytes) else str(value).encode()
    forms = {data.hex(), data.hex().upper(), data.decode("latin-1"), base64.b64encode(data).decode()}
    forms |= {base64.urlsafe_b64encode(data).decode(), base64.urlsafe_b64encode(data).decode().rstrip("=")}
    return {form for form in forms if form.isascii() and form.isprintable()}


async def test_tokens_are_256_bits_and_never_the_same(sqlite_auth: Auth) -> None:
    """D-10, T04."""
    await sqlite_auth.users.create("ann", password=PASSWORD)
    tokens = []
    for _ in range(30):
        async with client(site(sqlite_auth)) as browser:
            tokens.append(await log_in(browser))
    assert len({*tokens}) == 30
    assert {len(base64.urlsafe_b64decode(token + "=")) for token in tokens} == {32}
