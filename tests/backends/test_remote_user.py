"""Rows A6.12, A6.13, A9.4 to A9.6: what Django's RemoteUserBackend and its middleware do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.types import ASGIApp

from asgiauth import Auth, User
from asgiauth.backends import AllowAllUsersRemoteUserBackend, PasswordBackend, RemoteUserBackend
from asgiauth.events import LoginFailed, UserCreated, UserLoggedIn, UserLoggedOut
from asgiauth.exceptions import ConfigurationError, LoginRefused, TooManyAttempts
from asgiauth.testing import client

from ..conftest import make_auth
from ..login.helpers import Extension, Step, Told, cookies_of, error, log_in, prove, site, steps, user_named
from ..sites import COOKIE, START, count, run
from ..sites import site as plain_site
from ..wire import outline, watched
from .proxied import ANN, BOB, PROXY, behind_proxy, once, seen


async def test_A9_4_without_the_header_nobody_is_logged_in_or_created(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url) as (auth, app):
        browser = client(app)
        for headers in ({}, {"Remote-User": ""}, {"Remote-User": "  "}, {"Remote-Users": "ann"}):
            assert await seen(browser, headers) == ""
    assert await count(sqlite_url, auth.tables.user) == 0
    assert await count(sqlite_url, auth.tables.session) == 0


async def test_A6_12_an_unknown_user_is_created_once_without_a_password(url: str) -> None:
    told = Told()
    async with behind_proxy(url, features=[told.feature]) as (auth, app):
        browser = client(app)
        answer = await browser.get("/who", headers={"Remote-User": "newuser"})
        assert answer.json() == ["newuser", ["authenticated"], True, {}]
        assert await seen(browser, {"Remote-User": "newuser"}) == "newuser"
        assert not await auth.users.check_password(await user_named(auth, "newuser"), "")
        assert (await user_named(auth, "newuser")).password.startswith("!")
    assert await count(url, auth.tables.user) == 1
    assert told.kinds() == [UserCreated, UserLoggedIn]


async def test_A6_12_where_nobody_is_created_the_unknown_stay_anonymous(sqlite_url: str) -> None:
    backend = RemoteUserBackend[User](create_unknown_user=False)
    async with behind_proxy(sqlite_url, "ann", backend=backend) as (auth, app):
        browser = client(app)
        assert await seen(browser, {"Remote-User": "newuser"}) == ""
        assert await seen(browser, ANN) == "ann"
        assert await seen(browser, {"Remote-User": "newuser"}) == ""
    assert await count(sqlite_url, auth.tables.user) == 1


async def test_A9_4_a_known_user_is_logged_in_and_another_name_logs_another_in(url: str) -> None:
    """V-013: the session is another one, and Ann's data is gone; her login is over on the server, too."""
    told = Told()
    async with behind_proxy(url, "ann", "bob", features=[told.feature]) as (_, app):
        browser = client(app)
        assert (await browser.get("/keep?note=private", headers=ANN)).json() == {"note": "private"}
        anns = browser.cookies[COOKIE]
        assert (await browser.get("/who", headers=BOB)).json() == ["bob", ["authenticated"], True, {}]
        assert browser.cookies[COOKIE] != anns
        for headers in (ANN, {}):
            assert (await client(app, cookies={COOKIE: anns}).get("/who", headers=headers)).json()[3] == {}
    kinds = [kind for kind in told.kinds() if kind is not UserCreated]
    assert kinds == [UserLoggedIn, UserLoggedOut, UserLoggedIn, UserLoggedIn]


async def test_A9_4_last_login_is_noted_at_the_login_alone(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (auth, app):
        browser = client(app)
        assert await seen(browser, ANN) == "ann"
        assert (await user_named(auth, "ann")).last_login is not None
        await run(sqlite_url, update(auth.tables.user).values(last_login=START))
        assert await seen(browser, ANN) == "ann"
        assert (await user_named(auth, "ann")).last_login == START


async def test_A9_4_the_same_name_costs_nothing_beyond_the_lookup_of_the_session(server: str, url: str) -> None:
    backends = [RemoteUserBackend[User]()]
    async with watched(server, url, backends=backends, trusted_proxies=[PROXY]) as (auth, statements):
        browser = client(plain_site(auth))
        assert (await browser.get("/who", headers=ANN)).json() == "ann"
        statements.clear()
        assert (await browser.get("/who", headers=ANN)).json() == "ann"
        assert outline(statements) == ["SELECT"]
        statements.clear()
        assert (await client(plain_site(auth)).get("/who")).json() == ""
        assert outline(statements) == []


async def test_A9_4_whoever_the_header_logged_in_is_out_when_it_disappears(url: str) -> None:
    """And only they: a login by password stays."""
    async with behind_proxy(url, "ann", "model") as (auth, app):
        browser = client(app)
        assert await seen(browser, ANN) == "ann"
        answer = await browser.get("/who")
        assert answer.json()[0] == ""
        assert cookies_of(answer) == {COOKIE: ""}
        assert await count(url, auth.tables.session) == 0
        await log_in(browser, "model")
        assert await seen(browser) == "model"


async def test_A9_5_a_persistent_login_stays_where_the_header_is_missing(sqlite_url: str) -> None:
    """But not where it names nobody, or somebody else."""
    async with behind_proxy(sqlite_url, "ann", backend=RemoteUserBackend[User](persistent=True)) as (_, app):
        browser = client(app)
        for headers, name in ((ANN, "ann"), ({}, "ann"), (ANN, "ann"), (BOB, "bob"), ({}, "bob")):
            assert await seen(browser, headers) == name
        assert await seen(browser, {"Remote-User": " "}) == ""


async def test_A9_4_a_header_goes_before_a_login_by_password_of_somebody_else(sqlite_url: str) -> None:
    """Django's rule: Ann's own login is left alone, Bob's is replaced, and kept where the header finds nobody."""
    backend = RemoteUserBackend[User](create_unknown_user=False)
    async with behind_proxy(sqlite_url, "ann", "bob", backend=backend) as (auth, app):
        browser = client(app)
        await log_in(browser, "ann")
        assert (await browser.get("/api/auth/session", headers=ANN)).json()["methods"] == ["password"]
        assert await seen(browser, {"Remote-User": "stranger"}) == "ann"
        assert (await browser.get("/keep?note=anns")).json() == {"note": "anns"}
        assert (await browser.get("/who", headers=BOB)).json() == ["bob", ["authenticated"], True, {}]
        assert (await browser.get("/api/auth/session", headers=BOB)).json()["methods"] == ["remote_user"]
        assert await count(sqlite_url, auth.tables.session) == 1


async def test_A9_4_a_visitors_data_goes_on_into_the_login(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (_, app):
        browser = client(app)
        assert (await browser.get("/keep?note=basket")).json() == {"note": "basket"}
        planted = browser.cookies[COOKIE]
        assert (await browser.get("/who", headers=ANN)).json() == ["ann", ["authenticated"], True, {"note": "basket"}]
        assert browser.cookies[COOKIE] != planted
        assert await seen(client(app, cookies={COOKIE: planted})) == ""


async def test_A6_12_the_inactive_stay_outside(sqlite_url: str) -> None:
    """And are out at their next request."""
    async with behind_proxy(sqlite_url, "ann") as (auth, app):
        browser = client(app)
        assert await seen(browser, ANN) == "ann"
        await auth.users.update(await user_named(auth, "ann"), is_active=False)
        assert await seen(browser, ANN) == ""
        assert await once(app, ANN) == ""


async def test_A6_13_a_backend_may_let_the_inactive_in(sqlite_url: str) -> None:
    backend = AllowAllUsersRemoteUserBackend[User]()
    async with behind_proxy(sqlite_url, "ann", backend=backend) as (auth, app):
        await auth.users.update(await user_named(auth, "ann"), is_active=False)
        browser = client(app)
        assert [await seen(browser, ANN) for _ in range(2)] == ["ann", "ann"]


class Directory(RemoteUserBackend[User]):
    """Takes what the proxy tells besides."""

    auth: Auth

    def clean_username(self, username: str) -> str:
        return username.partition("@")[0]

    async def configure_user(self, connection: Any, user: User, created: bool) -> User:
        changes: dict[str, Any] = {"email": connection.headers.get("Remote-Email", "")}
        if not created:
            changes["last_name"] = user.username
        return await self.auth.users.update(user, **changes)


async def test_A6_12_a_subclass_cleans_the_name_and_configures_the_user(sqlite_url: str) -> None:
    """At every login; a name that is the same once it is clean is the same user."""
    backend = Directory()
    async with behind_proxy(sqlite_url, "known", backend=backend) as (auth, app):
        Directory.auth = auth
        browser = client(app)
        for realm in ("@example.com", "@EXAMPLE.COM", ""):
            assert await seen(browser, {"Remote-User": f"known{realm}"}) == "known"
        known = await user_named(auth, "known")
        assert (known.email, known.last_name) == ("", "known")
        assert await once(app, {"Remote-User": "new@example.com", "Remote-Email": "new@example.com"}) == "new"
        new = await user_named(auth, "new")
        assert (new.email, new.last_name) == ("new@example.com", "")
        assert await once(app, {"Remote-User": "new@example.com", "Remote-Email": "n@example.com"}) == "new"
        assert (await user_named(auth, "new")).email == "n@example.com"
        assert await once(app, {"Remote-User": "@example.com"}) == ""


async def test_A6_12_functions_may_clean_and_configure_too(sqlite_url: str) -> None:
    configured: list[tuple[str, bool]] = []

    async def configure(connection: Any, user: User, created: bool) -> User:
        configured.append((user.username, created))
        return user

    backend = RemoteUserBackend(clean_username=str.lower, configure_user=configure)
    async with behind_proxy(sqlite_url, backend=backend) as (_, app):
        for _ in range(2):
            assert await once(app, {"Remote-User": "ANN"}) == "ann"
    assert configured == [("ann", True), ("ann", False)]


async def test_A9_4_the_header_may_have_another_name(sqlite_url: str) -> None:
    """In whatever case it is written; the usual one says nothing then."""
    async with behind_proxy(sqlite_url, backend=RemoteUserBackend[User]("X-AuthUser")) as (_, app):
        assert await once(app, {"x-authuser": "ann"}) == "ann"
        assert await once(app, ANN) == ""


async def test_A6_12_only_exactly_this_name_is_the_users(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither another spelling of it nor a mail address, which its owner may have chosen, opens an account."""
    async with behind_proxy(url, "ann") as (auth, app):
        await auth.users.create("mallory", email="boss@example.com")
        assert await once(app, {"Remote-User": "ANN"}) == ""
        assert await once(app, {"Remote-User": "boss@example.com"}) == ""
        assert "in another spelling" in caplog.text
        assert await once(app, {"Remote-User": "carol@example.com"}) == "carol@example.com"
        assert (await user_named(auth, "carol@example.com")).email == "carol@example.com"
    assert await count(url, auth.tables.user) == 3


@pytest.mark.parametrize("name", ["(null)", "a b", "x" * 151, "é", "a/b", "ann@", "-\x7f"], ids=ascii)
async def test_A6_12_a_name_that_nobody_can_have_is_nobody(
    sqlite_url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No 500; the log says what is wrong with it, and does not repeat it."""
    async with behind_proxy(sqlite_url) as (auth, app):
        browser = client(app)
        assert await seen(browser, [(b"Remote-User", name.encode())]) == ""
        answer = await browser.get("/guarded", headers=[(b"Remote-User", name.encode())])
        assert error(answer) == (401, "not_authenticated")
    assert await count(sqlite_url, auth.tables.user) == 0
    assert name not in caplog.text


async def test_A6_12_a_name_that_django_has_stored_is_found_in_utf_8(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (auth, app):
        await run(sqlite_url, update(auth.tables.user).values(username="Ünal"))
        assert await once(app, [(b"Remote-User", "Ünal".encode())]) == "Ünal"
        assert await once(app, [(b"Remote-User", "Ünal".encode("latin-1"))]) == ""


async def test_A6_12_fifty_first_requests_make_one_user(url: str) -> None:
    async with behind_proxy(url) as (auth, app):
        names = await asyncio.gather(*(once(app, {"Remote-User": "newuser"}) for _ in range(50)))
        assert names == ["newuser"] * 50
    assert await count(url, auth.tables.user) == 1


async def test_A9_4_fifty_requests_that_change_the_name_end_the_session_for_good(url: str) -> None:
    async with behind_proxy(url, "ann", "bob") as (auth, app):
        browser = client(app)
        assert await seen(browser, ANN) == "ann"
        cookie = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
        names = await asyncio.gather(*(once(app, {**cookie, **BOB}) for _ in range(50)))
        assert names == ["bob"] * 50
        assert await auth.sessions.list(await user_named(auth, "ann")) == []


# The one login flow


async def test_A9_4_a_login_by_header_waits_for_its_steps(sqlite_url: str) -> None:
    """One pending login, however many requests come; it goes with the header, and with the name."""
    feature = steps(Step("totp", applies=lambda user, attempt: user.username == "ann"))
    async with behind_proxy(sqlite_url, "ann", "bob", features=[feature]) as (auth, app):
        browser = client(app, headers=ANN)
        for _ in range(3):
            assert await seen(browser) == ""
        assert await feature.count(auth.tables.pending_login) == 1
        assert (await prove(browser, "totp")).status_code == 200
        answer = (await browser.get("/api/auth/session")).json()
        assert (answer["user"]["username"], answer["methods"]) == ("ann", ["remote_user", "totp"])
        assert await feature.count(auth.tables.pending_login) == 0
        for headers, name in (({}, ""), (BOB, "bob")):
            waiting = client(app)
            assert await seen(waiting, ANN) == ""
            assert await feature.count(auth.tables.pending_login) == 1
            assert await seen(waiting, headers) == name
            assert await feature.count(auth.tables.pending_login) == 0


async def test_A9_5_a_persistent_login_waits_for_its_step_without_the_header(sqlite_url: str) -> None:
    feature = steps(Step("totp"))
    backend = RemoteUserBackend[User](persistent=True)
    async with behind_proxy(sqlite_url, "ann", backend=backend, features=[feature]) as (_, app):
        browser = client(app)
        assert await seen(browser, ANN) == ""
        assert (await prove(browser, "totp")).status_code == 200
        assert await seen(browser) == "ann"


class Refuses:
    def __init__(self, why: Exception) -> None:
        self.why = why
        self.seen: list[Any] = []

    async def admit(self, attempt: Any) -> None:
        self.seen.append(dict(attempt.credentials))
        raise self.why


@pytest.mark.parametrize("why", [LoginRefused("no"), TooManyAttempts(retry_after=9)], ids=["refused", "too many"])
async def test_A9_4_a_login_guard_keeps_whom_the_header_names_anonymous(
    sqlite_url: str, why: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    guard = Refuses(why)
    async with behind_proxy(sqlite_url, "ann", features=[Extension(login_guards=[guard])]) as (_, app):
        assert await once(app, ANN) == ""
    assert guard.seen == [{"remote_user": "ann"}]
    assert "whom the proxy names is not logged in" in caplog.text


async def test_A6_5_a_name_that_finds_nobody_is_a_failed_login(sqlite_url: str) -> None:
    told = Told()
    backend = RemoteUserBackend[User](create_unknown_user=False)
    async with behind_proxy(sqlite_url, backend=backend, features=[told.feature]) as (_, app):
        assert await once(app, ANN) == ""
    (event,) = told.inside
    assert isinstance(event, LoginFailed)
    assert event.credentials == {"remote_user": "ann"}


async def test_A9_4_a_removed_backend_logs_its_users_out(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (_, app):
        browser = client(app)
        assert await seen(browser, ANN) == "ann"
    auth = make_auth(sqlite_url)
    async with auth:
        assert await seen(client(site(auth), cookies=browser.cookies), ANN) == ""


async def test_A9_4_a_path_under_skip_asks_nobody(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, skip=["/who"]) as (auth, app):
        assert await once(app, ANN) == ""
    assert await count(sqlite_url, auth.tables.user) == 0


async def test_D23_a_database_that_fails_is_503_and_nobody_is_logged_out(sqlite_url: str) -> None:
    async with behind_proxy(sqlite_url, "ann") as (_, app):
        browser = client(app)
        assert await seen(browser, ANN) == "ann"
    for headers in (ANN, {}):
        answer = await browser.get("/who", headers=headers)
        assert error(answer) == (503, "unavailable")
        assert "set-cookie" not in answer.headers
    answer = await client(app).get("/who", headers=ANN)
    assert error(answer) == (503, "unavailable")


async def test_a_backend_may_be_asked_outside_of_a_request(sqlite_auth: Auth) -> None:
    backend = RemoteUserBackend[User]().bound_to(sqlite_auth.users)
    created = await backend.authenticate(None, remote_user="ann")
    assert created is not None
    assert await backend.authenticate(None, remote_user="ann") == created
    assert await backend.authenticate(None, remote_user="") is None


# A9.6


def _second() -> RemoteUserBackend[User]:
    second = AllowAllUsersRemoteUserBackend[User]()
    second.name = "second"
    return second


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({}, "trusted_proxies"),
        ({"trusted_proxies": ["0.0.0.0/0"]}, "trusted_proxies"),
        ({"trusted_proxies": ["10.0.0.1", "::/0"]}, "trusted_proxies"),
        ({"trusted_proxies": [PROXY], "backends": [RemoteUserBackend(), _second()]}, "keep one"),
    ],
    ids=["no proxy", "the internet", "the internet of today", "two"],
)
def test_A9_6_what_could_not_be_trusted_is_told_when_auth_is_built(options: dict[str, Any], cure: str) -> None:
    with pytest.raises(ConfigurationError, match=cure):
        make_auth("sqlite:///never-opened.db", **{"backends": [RemoteUserBackend(), PasswordBackend()], **options})


@pytest.mark.parametrize(
    "header", ["", "Remote_User", "REMOTE_USER", "Remote User", "Remote-User\n", "Ü", "a:b"], ids=ascii
)
def test_V014_a_header_that_servers_could_confuse_is_refused(header: str) -> None:
    with pytest.raises(ConfigurationError, match="Remote-User"):
        RemoteUserBackend(header)


# Where nothing may be written


async def test_A9_4_where_nothing_may_be_written_the_header_decides_without_a_session(sqlite_url: str) -> None:
    """A session that was opened elsewhere counts with the header alone. An unknown user cannot be created: 503."""
    feature = steps(Step("totp", applies=lambda user, attempt: user.username == "bob"))
    async with behind_proxy(sqlite_url, "ann", "ann2", "bob", features=[feature]) as (_, app):
        elsewhere, waiting, by_password = client(app), client(app), client(app)
        assert await seen(elsewhere, ANN) == "ann"
        await log_in(by_password, "ann2")
        assert await seen(waiting, BOB) == ""
    before = await run(sqlite_url, select(auth_tables(sqlite_url).session))
    async with opened_read_only(sqlite_url, feature) as app:
        browser = client(app)
        for headers, name in ((ANN, "ann"), ({}, ""), (BOB, ""), (ANN, "ann")):
            answer = await browser.get("/who", headers=headers)
            assert (answer.json()[0], answer.json()[2], "set-cookie" in answer.headers) == (name, False, False)
        assert error(await browser.get("/who", headers={"Remote-User": "newuser"})) == (503, "read_only")
        browser.cookies = elsewhere.cookies
        assert (await browser.get("/who", headers=ANN)).json()[2] is True
        assert await seen(browser) == ""
        by_password = client(app, cookies=by_password.cookies)
        assert [await seen(by_password, headers) for headers in ({}, ANN, {})] == ["ann2", "ann", "ann2"]
        waiting = client(app, cookies=waiting.cookies)
        assert [await seen(waiting, headers) for headers in (BOB, {}, ANN)] == ["", "", "ann"]
    assert await run(sqlite_url, select(auth_tables(sqlite_url).session)) == before


def auth_tables(url: str) -> Any:
    return make_auth(url).tables


@asynccontextmanager
async def opened_read_only(url: str, feature: Extension) -> AsyncIterator[ASGIApp]:
    backends: Any = [RemoteUserBackend(), PasswordBackend()]
    auth = make_auth(url, backends=backends, trusted_proxies=[PROXY], features=[feature], read_only=True)
    async with auth:
        yield site(auth)
