"""`DjangoSessionStore` without a Django: what may be in its table, and what it costs. With one:
tests/beside_django/test_django_sessions.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Uuid, delete, select, update
from starlette.requests import Request

from asgiauth import Auth, SessionPolicy, UserModel
from asgiauth.db.django_session import django_session
from asgiauth.django_signing import DjangoKeys
from asgiauth.exceptions import ConfigurationError, Unavailable
from asgiauth.guards import recent_login, requires
from asgiauth.passwords import Hashed, PBKDF2Hasher
from asgiauth.sessions import DjangoSessionStore
from asgiauth.testing import Clock

from ..sites import PASSWORD, START, count, run
from .helpers import Site, at_once, other_hand, rows, site_at, user

SECRET_KEY = "a key of the Django site, for its tests alone, 0123456789"
OLD_KEY = "short"
SALT = "django.contrib.sessions.SessionStore"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
KEYS = DjangoKeys(SECRET_KEY, [OLD_KEY])


def store(**options: Any) -> DjangoSessionStore:
    return DjangoSessionStore(**{"secret_key": SECRET_KEY, "fallbacks": [OLD_KEY], **options})


@asynccontextmanager
async def site_with(url: str, *users: str, **options: Any) -> AsyncIterator[Site]:
    async with site_at(url, *(users or ("ann",)), **{"sessions": SessionPolicy(store=store()), **options}) as site:
        yield site


async def planted(
    site: Site, content: Any = None, *, key: str = "", text: str = "", expires_at: datetime | None = None
) -> str:
    """The key of a session that a Django with this content would have."""
    key = key or store().new_token()
    data = text or KEYS.dumps(content, salt=SALT, at=START, compress=True)
    expires = expires_at or datetime.now(UTC) + timedelta(days=1)
    row = {"session_key": key, "session_data": data, "expire_date": expires}
    async with site.auth._database.unit() as unit:
        await unit.insert(django_session(site.auth.metadata), row)
    return key


async def logged_in(site: Site, name: str = "ann", *, keys: DjangoKeys = KEYS, **more: Any) -> dict[str, Any]:
    """What Django keeps of a login."""
    found = await user(site, name)
    session_hash = keys.session_hashes(found.password)[0].hex()
    return {
        "_auth_user_id": str(found.id),
        "_auth_user_backend": MODEL_BACKEND,
        "_auth_user_hash": session_hash,
        **more,
    }


def with_key(site: Site, key: str) -> Any:
    browser = site.browser()
    browser.cookies.set("sessionid", key, domain="site.example", path="/")
    return browser


async def content_of(site: Site, key: str) -> dict[str, Any] | None:
    table = django_session(site.auth.metadata)
    found = await site.auth._database.fetch(select(table).where(table.c.session_key == key))
    content: dict[str, Any] | None = KEYS.loads(found[0]["session_data"], salt=SALT)[0] if found else None
    return content


async def who(site: Site, key: str) -> str:
    return str(await site.ask(with_key(site, key), lambda request: request.user.username))


async def test_A7_7_a_login_of_djangos_counts(url: str) -> None:
    async with site_with(url) as site:
        key = await planted(site, await logged_in(site, cart=[1]))
        browser = with_key(site, key)
        assert await site.ask(browser, lambda request: [request.user.username, dict(request.session)]) == [
            "ann",
            {"cart": [1]},
        ]
        info = await site.ask(
            browser, lambda request: vars(request.auth.session) | {"expires_at": 0, "created": 0, "last_seen": 0}
        )
        assert key not in str(info)
        assert (info["methods"], info["backend"], info["authenticated_at"]) == ([], "password", None)
        assert browser.cookies.get("sessionid") == key


@pytest.mark.parametrize(
    "wrong",
    [
        {"_auth_user_id": "999999"},
        {"_auth_user_id": "no number"},
        {"_auth_user_id": "9" * 30},
        {"_auth_user_id": None},
        {"_auth_user_id": ["1"]},
        {"_auth_user_hash": "0" * 64},
        {"_auth_user_hash": ""},
        {"_auth_user_hash": None},
        {"_auth_user_hash": "no hex"},
        {"_auth_user_hash": [1]},
        {"_auth_user_backend": "project.Removed"},
        {"_auth_user_backend": None},
        {"_auth_user_backend": [1]},
    ],
    ids=str,
)
async def test_A1_8_a_login_that_is_none_is_anonymous(sqlite_url: str, wrong: dict[str, Any]) -> None:
    """Whatever stands there: never a user, and never an error."""
    async with site_with(sqlite_url) as site:
        key = await planted(site, {**await logged_in(site), **wrong})
        assert await who(site, key) == ""
        answer = await with_key(site, key).get("/api/auth/session")
        assert (answer.status_code, answer.json()["user"]) == (200, None)


@pytest.mark.parametrize("missing", ["_auth_user_id", "_auth_user_backend", "_auth_user_hash"])
async def test_A1_8_a_login_that_lacks_a_part_is_anonymous(sqlite_url: str, missing: str) -> None:
    async with site_with(sqlite_url) as site:
        content = await logged_in(site)
        del content[missing]
        assert await who(site, await planted(site, content)) == ""


BAD_NOTES: list[Any] = [
    None,
    1,
    [],
    {},
    {"user": "1"},
    {"user": "1", "methods": 1, "created": "x"},
    {"user": "1", "methods": [], "created": "0001-01-01T00:00:00+23:00", "remember": 1, "device": "", "address": ""},
]


@pytest.mark.parametrize("note", BAD_NOTES, ids=str)
async def test_a_note_that_is_none_is_a_session_of_djangos(sqlite_url: str, note: Any) -> None:
    async with site_with(sqlite_url) as site:
        key = await planted(site, await logged_in(site, _asgiauth=note))
        browser = with_key(site, key)
        assert await site.ask(browser, lambda request: request.auth.session.authenticated_at) is None
        await site.ask(browser, lambda request: request.session.update(x=1))
        assert await content_of(site, key) == await logged_in(site, x=1)


GARBAGE = {
    "no signature": "eyJhIjoxfQ:1vb66i:eB2NslVvH0RDkzRPs9lgMlj4UQhOxytXDt6g01xEu8I",
    "nothing": " ",
    "no text": "\u00e9\U0001f511",
    "a list": KEYS.dumps([1], salt=SALT, at=START),
    "another salt": KEYS.dumps({"a": 1}, salt="another", at=START),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_A8_11_what_cannot_be_read_is_an_empty_session(url: str, name: str) -> None:
    """It is written anew under the same key, as by Django; nobody is told anything but the log."""
    async with site_with(url) as site:
        key = await planted(site, text=GARBAGE[name])
        browser = with_key(site, key)
        assert await site.ask(browser, lambda request: dict(request.session)) == {}
        await site.ask(browser, lambda request: request.session.update(x=1))
        assert (browser.cookies.get("sessionid"), await content_of(site, key)) == (key, {"x": 1})


async def test_A8_11_a_bomb_is_an_empty_session(sqlite_url: str) -> None:
    async with site_with(sqlite_url) as site:
        key = await planted(site, {"x": "y" * 2**21})
        assert await site.ask(with_key(site, key), lambda request: dict(request.session)) == {}


async def test_A8_11_a_bad_signature_is_logged(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with site_with(sqlite_url) as site:
        key = await planted(site, text=GARBAGE["no signature"])
        with caplog.at_level(logging.WARNING, "asgiauth"):
            await who(site, key)
        (record,) = caplog.records
        assert "SECRET_KEY" in record.getMessage()
        assert key not in caplog.text
        assert SECRET_KEY not in caplog.text


@pytest.mark.parametrize("cookie", ["", "a", "A" * 32, "a" * 31, "a" * 33, "a" * 43, "\u00e9" * 32, "%61" * 10 + "aa"])
async def test_A8_1_a_cookie_that_is_no_key_is_forgotten(sqlite_url: str, cookie: str) -> None:
    """As is a key that is unknown, or whose time is up; and no row is made for it (row A8.2)."""
    async with site_with(sqlite_url) as site:
        dead = await planted(site, await logged_in(site), expires_at=START)
        for value in (cookie, "a" * 32, dead):
            headers = [(b"cookie", f"sessionid={value}".encode("latin-1"))]
            answer = await site.browser().get("/api/auth/session", headers=headers)
            assert (answer.status_code, answer.json()["user"]) == (200, None)
            assert any(header.startswith("sessionid=; ") for header in answer.headers.get_list("set-cookie"))
        assert await count(sqlite_url, django_session(site.auth.metadata)) == 1
        assert await site.auth.sessions.purge_expired() == 1


async def test_D_12_the_cookie_is_called_as_django_calls_it(sqlite_url: str) -> None:
    """No prefix and no realm in its name; HttpOnly, Secure, SameSite and Path=/ nevertheless."""
    policy = SessionPolicy(store=store(cookie_name="shop_session", lifetime=timedelta(days=3)))
    async with site_with(sqlite_url, sessions=policy, realm="staff") as site:
        for remember, age in ((False, ""), (True, "; Max-Age=259200")):
            browser = site.browser()
            words = {"username": "ann", "password": PASSWORD, "remember": remember}
            (cookie,) = (await browser.post("/api/auth/login", json=words)).headers.get_list("set-cookie")
            key = browser.cookies.get("shop_session")
            assert cookie == f"shop_session={key}; Path=/; HttpOnly; SameSite=Lax; Secure{age}"
            answer = await site.get(browser, lambda request: request.session.update(x=1))
            assert [one.partition("; ")[2] for one in answer.headers.get_list("set-cookie")] == (
                [f"Path=/; HttpOnly; SameSite=Lax; Secure{age}"] if remember else []
            )
    async with site_with(sqlite_url, "bob", base_url="http://localhost:8000") as site:
        words = {"username": "bob", "password": PASSWORD}
        (cookie,) = (await site.browser().post("/api/auth/login", json=words)).headers.get_list("set-cookie")
        assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")


async def test_A8_26_the_lifetime_is_djangos(sqlite_url: str) -> None:
    """From the last change, whatever the policy's limits are; and no use is noted."""
    clock = Clock(START)
    async with site_with(sqlite_url, clock=clock) as site:
        browser = await site.log_in()
        key = browser.cookies.get("sessionid")
        assert key is not None
        before = await rows(sqlite_url, django_session(site.auth.metadata))
        clock.advance(days=14, seconds=-1)
        assert await who(site, key) == "ann"
        assert await rows(sqlite_url, django_session(site.auth.metadata)) == before
        await site.ask(browser, lambda request: request.session.update(x=1))
        clock.advance(days=14, seconds=-1)
        assert await who(site, key) == "ann"
        clock.advance(seconds=1)
        assert await who(site, key) == ""


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"secret_key": ""}, "SECRET_KEY"),
        ({"secret_key": "x" * 31}, "SECRET_KEY_FALLBACKS"),
        ({"fallbacks": [""]}, "SECRET_KEY_FALLBACKS"),
        ({"fallbacks": OLD_KEY}, "SECRET_KEY_FALLBACKS"),
        ({"cookie_name": "a b"}, "letters"),
        ({"lifetime": timedelta(0)}, "SESSION_COOKIE_AGE"),
    ],
)
def test_what_could_not_work_is_a_configuration_error(options: dict[str, Any], cure: str) -> None:
    with pytest.raises(ConfigurationError, match=cure) as caught:
        store(**options)
    assert "x" * 31 not in str(caught.value)
    with pytest.raises(ConfigurationError, match="max_per_user"):
        SessionPolicy(store=store(), max_per_user=3)


def test_the_secret_key_is_nowhere_to_be_seen() -> None:
    made = store()
    assert SECRET_KEY not in f"{made!r} {vars(made)} {SessionPolicy(store=made)!r}"


async def test_D_10_fifty_requests_at_once_do_not_undo_each_other(url: str) -> None:
    async with site_with(url) as site:
        first = await site.log_in()
        browsers = [with_key(site, str(first.cookies.get("sessionid"))) for _ in range(50)]

        def add(request: Any, i: int) -> None:
            request.session[f"n{i}"] = i

        answers = await at_once(site, browsers, add)
        assert {answer.status_code for answer in answers} == {200}
        data = await site.ask(first, lambda request: dict(request.session))
        assert data == {f"n{i}": i for i in range(50)}


async def test_A7_10_a_fallback_is_replaced_once_however_many_ask(url: str) -> None:
    """In place, and without undoing what another request changes."""
    async with site_with(url) as site:
        key = await planted(site, await logged_in(site, keys=DjangoKeys(OLD_KEY), x=0))
        browsers = [with_key(site, key) for _ in range(20)]

        def add(request: Any, i: int) -> None:
            request.session[f"n{i}"] = i

        assert {answer.status_code for answer in await at_once(site, browsers, add)} == {200}
        assert await content_of(site, key) == {**await logged_in(site, x=0), **{f"n{i}": i for i in range(20)}}


async def test_A7_10_who_cannot_write_reads_all_the_same(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with site_with(sqlite_url) as site:
        key = await planted(site, await logged_in(site, keys=DjangoKeys(OLD_KEY)))

        async def refuse(*_: Any, **__: Any) -> None:
            raise Unavailable("the database does not answer in time")

        monkeypatch.setattr(site.auth.sessions.store, "edit", refuse)
        assert await who(site, key) == "ann"
        assert "could not be signed anew" in caplog.text


async def test_A7_10_a_session_that_changed_meanwhile_keeps_its_hash(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and the writing, somebody has changed the password in it."""
    async with site_with(sqlite_url) as site:
        key = await planted(site, await logged_in(site, keys=DjangoKeys(OLD_KEY)))
        kept, edit = site.auth.sessions.store, site.auth.sessions.store.edit

        async def late(*arguments: Any, **options: Any) -> Any:
            other = await logged_in(site) | {"_auth_user_hash": "1" * 64}
            table = django_session(site.auth.metadata)
            data = KEYS.dumps(other, salt=SALT, at=START)
            await run(sqlite_url, update(table).values(session_data=data))
            return await edit(*arguments, **options)

        monkeypatch.setattr(kept, "edit", late)
        assert await who(site, key) == "ann"
        content = await content_of(site, key)
        assert content is not None
        assert content["_auth_user_hash"] == "1" * 64


async def test_a_request_asks_for_the_session_and_for_the_user(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 9: one store call and one query; a visitor costs the first alone."""
    async with site_with(sqlite_url) as site:
        member, visitor = await planted(site, await logged_in(site)), await planted(site, {"x": 1})
        asked, fetch = [], site.auth._database.fetch

        async def counted(*arguments: Any, **options: Any) -> Any:
            asked.append(arguments)
            return await fetch(*arguments, **options)

        monkeypatch.setattr(site.auth._database, "fetch", counted)
        for key, number in ((member, 2), (visitor, 1), ("a" * 32, 1), ("no key", 0)):
            asked.clear()
            await who(site, key)
            assert len(asked) == number


async def test_sessions_are_found_beyond_the_first_page(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is in the table, and however many rows are read at once."""
    monkeypatch.setattr("asgiauth.sessions.django._PAGE", 3)
    monkeypatch.setattr("asgiauth.sessions.django._KEY_PAGE", 3)
    async with site_with(url, "ann", "bob") as site:
        ann, bob = await user(site, "ann"), await user(site, "bob")
        for name, number in (("ann", 7), ("bob", 2)):
            for _ in range(number):
                await planted(site, await logged_in(site, name))
        await planted(site, {"x": 1})
        await planted(site, text="garbage")
        await planted(site, await logged_in(site, "ann"), expires_at=START)
        sessions = site.auth.sessions
        assert (len(await sessions.list(ann)), len(await sessions.list(bob))) == (7, 2)
        for info in (await sessions.list(ann))[:2]:
            assert await sessions.revoke(info.id)
            assert not await sessions.revoke(info.id)
        kept = (await sessions.list(ann))[0]
        assert await sessions.revoke_all(ann, keep=kept) == 5  # the expired one is one of them
        assert [info.id for info in await sessions.list(ann)] == [kept.id]
        assert len(await sessions.list(bob)) == 2


async def test_many_may_ask_for_their_devices_at_once(sqlite_url: str) -> None:
    """One after the other looks at the table, and all get their answer."""
    async with site_with(sqlite_url) as site:
        await planted(site, await logged_in(site))
        ann = await user(site)
        found = await asyncio.gather(*(site.auth.sessions.list(ann) for _ in range(10)))
        assert [len(sessions) for sessions in found] == [1] * 10


async def test_A21_a_key_that_is_no_number(sqlite_url: str) -> None:
    """Django writes a UUID with its dashes."""
    async with site_with(sqlite_url, user_model=UserModel(id_type=Uuid())) as site:
        browser = await site.log_in()
        content = await content_of(site, str(browser.cookies.get("sessionid")))
        ann = await user(site)
        assert content is not None
        assert UUID(content["_auth_user_id"]) == ann.id
        assert content["_auth_user_id"] == str(ann.id)
        assert await who(site, await planted(site, await logged_in(site))) == "ann"


async def test_two_auths_share_the_table(sqlite_url: str) -> None:
    """One metadata for both, and for models of the application."""
    async with (
        site_with(sqlite_url) as site,
        site_with(sqlite_url, "bob", metadata=site.auth.metadata, realm="x") as other,
    ):
        table = django_session(site.auth.metadata)
        browser = await site.log_in()
        assert await who(other, str(browser.cookies.get("sessionid"))) == "ann"
        assert django_session(other.auth.metadata) is table


async def test_data_of_django_may_hold_what_json_does_not_know(sqlite_url: str) -> None:
    """Python's NaN: it is null, and no error where the rest is changed."""
    async with site_with(sqlite_url) as site:
        key = await planted(site, {"n": float("nan")})
        await site.ask(with_key(site, key), lambda request: request.session.update(x=1))
        assert await content_of(site, key) == {"n": None, "x": 1}


async def test_D_10_data_of_django_may_be_larger_than_ours(sqlite_url: str) -> None:
    """It is no error for who reads it, logs in or out with it; only what is changed here has a limit."""
    large = {"cart": "x" * 70_000}
    async with site_with(sqlite_url) as site:
        key = await planted(site, large)
        browser = with_key(site, key)
        browser.cookies.set("__Host-asgiauth-pending", "a" * 43, domain="site.example", path="/")
        assert (await browser.get("/api/auth/session")).status_code == 200
        own = {"Sec-Fetch-Site": "same-origin"}
        login = {"username": "ann", "password": PASSWORD}
        assert (await browser.post("/api/auth/login", json=login, headers=own)).status_code == 200
        assert await site.ask(browser, lambda request: [request.user.username, dict(request.session)]) == ["ann", large]
        answer = await site.get(browser, lambda request: request.session.update(x=1))
        assert (answer.status_code, await count(sqlite_url, django_session(site.auth.metadata))) == (413, 1)
        assert (await browser.post("/api/auth/logout", headers=own)).status_code == 204
        assert await count(sqlite_url, django_session(site.auth.metadata)) == 0


async def test_T03_a_login_takes_the_csrf_token_of_a_visitors_session_away(sqlite_url: str) -> None:
    """Django keeps it there with CSRF_USE_SESSIONS, and makes a new one at each login: the old one may be known to
    whoever has planted the session."""
    async with site_with(sqlite_url) as site:
        browser = with_key(site, await planted(site, {"_csrftoken": "a" * 32, "cart": [1]}))
        await site.ask(browser, lambda request: request.session.update(x=1))
        await site.log_in(browser=browser)
        content = await content_of(site, str(browser.cookies.get("sessionid")))
        assert content is not None
        assert (content["_auth_user_id"], content["cart"], "_csrftoken" in content) == ("1", [1], False)


@pytest.mark.parametrize(
    "odd",
    ["2026-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "tomorrow", "", 2**70, -5, 1.5, True, [1], {"a": 1}],
    ids=str,
)
async def test_A8_9_an_expiry_that_is_none_counts_for_nothing(sqlite_url: str, odd: Any) -> None:
    """Such as the date of a Django with USE_TZ=False, which says no zone."""

    def changed(request: Any) -> list[Any]:
        request.session["x"] = 1
        return [request.session.get_expiry_age(), request.session["_session_expiry"]]

    async with site_with(sqlite_url) as site:
        browser = with_key(site, await planted(site, {"_session_expiry": odd}))
        for _ in range(2):
            age, kept = await site.ask(browser, changed)
            assert (age > 1_209_000, kept) == (True, odd)


async def test_A1_8_the_path_of_a_backend_stays_where_two_have_one_name(sqlite_url: str) -> None:
    """Django asks the backend of that path what its user may do."""
    paths = ["site.Directory", MODEL_BACKEND]
    sessions = SessionPolicy(store=store(backend_map={MODEL_BACKEND: "password", "site.Directory": "password"}))
    async with site_with(sqlite_url, sessions=sessions) as site:
        for path in paths:
            key = await planted(site, await logged_in(site, _auth_user_backend=path))
            assert await site.ask(with_key(site, key), lambda request: request.session.update(x=1)) is None
            content = await content_of(site, key)
            assert content is not None
            assert (content["x"], content["_auth_user_backend"]) == (1, path)


async def test_recent_login_fails_closed(sqlite_url: str) -> None:
    async with site_with(sqlite_url) as site:

        @requires(recent_login(minutes=5))
        async def guarded(request: Request) -> None:
            pass

        theirs = with_key(site, await planted(site, await logged_in(site)))
        ours = await site.log_in()
        assert [(await site.get(browser, guarded)).status_code for browser in (theirs, ours)] == [403, 200]


async def test_A8_13_without_the_store_there_is_no_such_table(sqlite_auth: Auth) -> None:
    assert "django_session" not in sqlite_auth.metadata.tables
    assert sqlite_auth._feature_tables == []


async def test_A7_9_a_new_password_moves_the_session_that_sets_it(sqlite_url: str) -> None:
    """One of ours and one of Django's: under a fresh key, with the new hash; what Django has opened gets no note."""
    async with site_with(sqlite_url) as site:
        other = await planted(site, await logged_in(site))
        words = {"old_password": PASSWORD, "new_password": "a new and better password"}
        for browser, is_noted in ((await site.log_in(), True), (with_key(site, other), False)):
            before = str(browser.cookies.get("sessionid"))
            assert (await browser.post("/api/auth/password/change", json=words)).status_code == 204
            after = str(browser.cookies.get("sessionid"))
            assert (await content_of(site, before), await who(site, before)) == (None, "")
            content = await content_of(site, after)
            assert content is not None
            assert ("_asgiauth" in content) is is_noted
            assert {name: content[name] for name in content if name != "_asgiauth"} == await logged_in(site)
            words = {"old_password": words["new_password"], "new_password": PASSWORD}
            await run(sqlite_url, delete(django_session(site.auth.metadata)))
            await planted(site, await logged_in(site), key=other)


async def test_a_stronger_hash_carries_only_the_session_that_made_it(sqlite_url: str) -> None:
    """And not one that was over already: the password has changed since it began."""
    async with site_with(sqlite_url) as site:
        ann, weak = await user(site), Hashed(PBKDF2Hasher(iterations=1).encode(PASSWORD))

        async def set_weak(request: Any = None) -> None:
            async with other_hand(sqlite_url) as database, database.unit() as unit:
                users = site.auth.tables.user
                await unit.changed(update(users).where(users.c.id == ann.id).values(password=str(weak)))

        async def check(request: Any) -> bool:
            return await site.auth.users.check_password(ann, PASSWORD)

        async def change_and_check(request: Any) -> bool:
            await set_weak()
            return await check(request)

        await set_weak()
        here, there = [with_key(site, await planted(site, await logged_in(site))) for _ in range(2)]
        assert await site.ask(here, check)
        assert (await user(site)).password != weak
        assert await site.ask(here, lambda request: request.user.username) == "ann"
        assert await site.ask(there, lambda request: request.user.username) == ""
        assert await site.ask(here, change_and_check)
        assert await site.ask(here, lambda request: request.user.username) == ""
        await set_weak()
        browser = await site.log_in()
        assert (await user(site)).password != weak
        assert await site.ask(browser, lambda request: request.user.username) == "ann"


@pytest.mark.parametrize("how", ["deactivated", "deleted", "raised epoch"])
async def test_D_13_sessions_end_with_their_user(sqlite_url: str, how: str) -> None:
    """Ours and Django's; but Django's know of no epoch. Those of others stay."""
    async with site_with(sqlite_url, "ann", "bob") as site:
        theirs, ours = await planted(site, await logged_in(site)), str((await site.log_in()).cookies.get("sessionid"))
        bobs, ann = await planted(site, await logged_in(site, "bob")), await user(site)
        if how == "deactivated":
            await site.auth.users.update(ann, is_active=False)
            assert [await content_of(site, key) for key in (theirs, ours)] == [None, None]
            await site.auth.users.update(ann, is_active=True)
        elif how == "deleted":
            await site.auth.users.delete(ann)
            assert [await content_of(site, key) for key in (theirs, ours)] == [None, None]
        else:
            await site.auth.sessions.bump_epoch(ann)
        stays = "ann" if how == "raised epoch" else ""
        assert [await who(site, key) for key in (theirs, ours, bobs)] == [stays, "", "bob"]


async def test_A6_14_a_session_of_an_unknown_backend_can_be_left(sqlite_url: str) -> None:
    """A logout ends it for both sides; until then its cookie stays, whoever is anonymous here."""
    async with site_with(sqlite_url) as site:
        key = await planted(site, await logged_in(site, _auth_user_backend="project.Directory"))
        browser = with_key(site, key)
        answer = await site.get(browser, lambda request: request.user.username)
        assert (answer.json(), answer.headers.get_list("set-cookie")) == ("", [])
        assert (await browser.post("/api/auth/logout")).status_code == 204
        assert (await content_of(site, key), browser.cookies.get("sessionid")) == (None, None)
