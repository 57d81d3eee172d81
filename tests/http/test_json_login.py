from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from starlette.types import Message

from asgiauth import Auth, PasswordPolicy
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher

from ..conftest import SECRET_KEYS, client, make_auth
from ..sites import COOKIE, CSRF_COOKIE, PASSWORD, count, site

LOGIN, LOGOUT, SESSION = "/api/auth/login", "/api/auth/logout", "/api/auth/session"
ANONYMOUS: dict[str, Any] = {"user": None, "methods": [], "authenticated_at": None, "expires_at": None}


class CountingHasher(Argon2Hasher):
    """Knows how many hashes it has computed."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.hashes = 0

    def encode(self, password: str) -> str:
        self.hashes += 1
        return super().encode(password)

    def verify(self, password: str, encoded: str) -> bool:
        self.hashes += 1
        return super().verify(password, encoded)


def without_token(answer: httpx2.Response) -> dict[str, Any]:
    """What `GET session` says, but for the token, which is another one each time."""
    said: dict[str, Any] = answer.json()
    assert len(said.pop("csrf_token")) == 64
    return said


@pytest.fixture
async def browser(auth: Auth) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(site(auth)) as browser:
        yield browser


@pytest.fixture
async def offline() -> AsyncIterator[httpx2.AsyncClient]:
    """For what must not get as far as the database: it is not even connected."""
    async with client(site(make_auth("sqlite:///never-opened.db"))) as browser:
        yield browser


def error(answer: httpx2.Response) -> dict[str, Any]:
    """The detail of an error in the one shape, whatever the endpoint."""
    body = answer.json()
    assert list(body) == ["detail"]
    detail: dict[str, Any] = body["detail"]
    assert set(detail) in ({"code", "message"}, {"code", "message", "fields"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return detail


async def test_login_session_and_logout_answer_in_their_documented_shapes(
    auth: Auth, browser: httpx2.AsyncClient
) -> None:
    """DESIGN 11: the public fields of the user and nothing else, D-24: never stored by a cache."""
    ann = await auth.users.create(
        "Ann", email="Ann@Example.COM", password=PASSWORD, first_name="Änn", last_name="O'Brien", is_staff=True
    )

    answer = await browser.post(LOGIN, json={"username": "Ann", "password": PASSWORD})
    assert answer.status_code == 200
    user = answer.json()["user"]
    stored = await auth.users.get(ann.id)
    assert stored is not None
    assert stored.last_login is not None
    assert answer.json() == {"user": stored.as_dict()}
    assert list(user) == [
        *("id", "username", "email", "first_name", "last_name", "is_active", "is_staff", "is_superuser"),
        *("last_login", "date_joined"),
    ]
    assert (user["email"], user["first_name"], user["is_staff"]) == ("Ann@example.com", "Änn", True)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Cookie"

    session = await browser.get(SESSION)
    assert session.status_code == 200
    assert list(session.json()) == ["user", "methods", "authenticated_at", "expires_at", "csrf_token"]
    assert (session.json()["user"], session.json()["methods"]) == (user, ["password"])
    assert user["last_login"] <= session.json()["authenticated_at"] < session.json()["expires_at"]
    assert session.headers["cache-control"] == "no-store"
    assert session.headers["vary"] == "Cookie"

    logout = await browser.post(LOGOUT)
    assert (logout.status_code, logout.content) == (204, b"")
    assert logout.headers["cache-control"] == "no-store"
    assert "max-age=0" in logout.headers["set-cookie"].lower()
    assert without_token(await browser.get(SESSION)) == ANONYMOUS


async def test_any_spelling_of_user_name_and_address_logs_in(auth: Auth, browser: httpx2.AsyncClient) -> None:
    """D-09."""
    await auth.users.create("Ann", email="Ann@Example.COM", password=PASSWORD)
    await auth.users.create("Bob", email="bob@example.com", password=PASSWORD)
    names = ["Ann", "ANN", "ann", "Ann@Example.com", "ann@example.com", "ANN@EXAMPLE.COM", " ann@example.com "]
    for name in names:
        answer = await browser.post(LOGIN, json={"username": name, "password": PASSWORD})
        assert (answer.status_code, answer.json()["user"]["username"]) == (200, "Ann")


async def test_every_failed_login_is_the_same_answer_after_the_same_work(url: str) -> None:
    """D-06, D-20, V-047, V-103, T01, T02: one 401, byte for byte, and exactly one hash, whatever the reason."""
    hasher = CountingHasher()
    auth = make_auth(url, passwords=PasswordPolicy(hashers=[hasher, PBKDF2Hasher(iterations=1)], validators=()))
    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        await auth.users.create("gone", password=PASSWORD, is_active=False)
        await auth.users.create("none")
        longest = "x" * 1024
        await auth.users.create("long", password=longest)

        attempts = {
            "wrong": ("ann", "wrong horse"),
            "wrong, by address": ("ann@example.com", "wrong horse"),
            "another case": ("ann", PASSWORD.upper()),
            "surrounded by blanks": ("ann", f" {PASSWORD} "),
            "blank": ("ann", ""),
            "NUL": ("ann", PASSWORD + "\0"),
            "surrogate": ("ann", PASSWORD + "\ud800"),
            "too long": ("long", longest + "x"),
            "too long for UTF-8": ("ann", "ä" * 513),
            "much too long": ("ann", "x" * 60_000),
            "unknown": ("nobody", PASSWORD),
            "unknown, by address": ("nobody@example.com", PASSWORD),
            "unknown and blank": ("nobody", ""),
            "unknown and too long": ("nobody", "x" * 1025),
            "no name": ("", PASSWORD),
            "impossible name": ("ann\n", PASSWORD),
            "name with NUL": ("ann\0", PASSWORD),
            "name with a surrogate": ("ann\udfff", PASSWORD),
            "name of 254": ("a" * 254, PASSWORD),
            "inactive": ("gone", PASSWORD),
            "inactive and wrong": ("gone", "wrong horse"),
            "without a password: blank": ("none", ""),
            "without a password: mark": ("none", "!"),
            "without a password: any": ("none", PASSWORD),
        }
        seen = {}
        for reason, (username, password) in attempts.items():
            before = hasher.hashes
            answer = await browser.post(
                LOGIN,
                content=json.dumps({"username": username, "password": password}),
                headers={"content-type": "application/json"},
            )
            seen[reason] = (answer.status_code, answer.headers.multi_items(), answer.content, hasher.hashes - before)
        assert {reason for reason in seen if seen[reason] != seen["wrong"]} == set()
        status, headers, body, hashes = seen["wrong"]
        assert (status, hashes) == (401, 1)
        assert json.loads(body) == {
            "detail": {"code": "invalid_credentials", "message": "Invalid username or password."}
        }
        assert ("www-authenticate", "Cookie") in headers
        assert await count(url, auth.tables.session) == 0

        before = hasher.hashes
        assert (await browser.post(LOGIN, json={"username": "long", "password": longest})).status_code == 200
        assert hasher.hashes - before == 1


OK = {"username": "ann", "password": PASSWORD}


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        (None, json.dumps(OK), 415, "unsupported_media_type"),
        ("", json.dumps(OK), 415, "unsupported_media_type"),
        ("text/plain", json.dumps(OK), 415, "unsupported_media_type"),
        ("text/plain; application/json", json.dumps(OK), 415, "unsupported_media_type"),
        ("application/jsonx", json.dumps(OK), 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", "username=ann&password=correct+horse", 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", "--x--", 415, "unsupported_media_type"),
        ("application/json", "", 400, "invalid_body"),
        ("application/json", "{", 400, "invalid_body"),
        ("application/json", "null", 400, "invalid_body"),
        ("application/json", "[]", 400, "invalid_body"),
        ("application/json", '"ann"', 400, "invalid_body"),
        ("application/json", "0", 400, "invalid_body"),
        ("application/json", "NaN", 400, "invalid_body"),
        ("application/json", json.dumps(OK) + "x", 400, "invalid_body"),
        ("application/json", "\ufeff" + json.dumps(OK), 400, "invalid_body"),
        ("application/json", json.dumps(OK).encode("utf-16"), 400, "invalid_body"),
        ("application/json", b'{"username": "\xff", "password": "x"}', 400, "invalid_body"),
        ("application/json", '{"username": "ann", "password": "x", "remember": NaN}', 400, "invalid_body"),
        ("application/json", '{"username": "ann", "password": "x", "password": "y"}', 400, "invalid_body"),
        ("application/json", '{"username": "ann", "p\\u0061ssword": "x", "password": "y"}', 400, "invalid_body"),
        ("application/json", '{"username": %s}' % ("9" * 5000), 400, "invalid_body"),
        ("application/json", "[" * 60_000, 400, "invalid_body"),
        ("application/json", '{"a":' * 10_000, 400, "invalid_body"),
        ("application/json", "{}", 422, "invalid_fields"),
        ("application/json", '{"a":' * 100 + "1" + "}" * 100, 422, "invalid_fields"),
        ("application/json", '{"username": "ann"}', 422, "invalid_fields"),
        ("application/json", '{"username": null, "password": null}', 422, "invalid_fields"),
        ("application/json", '{"username": 0, "password": 0}', 422, "invalid_fields"),
        ("application/json", '{"username": 1e400, "password": false}', 422, "invalid_fields"),
        ("application/json", '{"username": {"$gt": ""}, "password": ["x"]}', 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "remember": 1}), 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "remember": "true"}), 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "remember": None}), 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "backend": "password"}), 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "is_superuser": True}), 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "\ud800": 1}), 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "username": "a" * 255}), 422, "invalid_fields"),
        ("application/json", json.dumps({**OK, "x": "y" * 64 * 1024}), 413, "body_too_large"),
    ],
    ids=lambda value: ascii(value)[:50],
)
async def test_what_is_not_a_login_is_refused_before_anyone_is_asked(
    offline: httpx2.AsyncClient, content_type: str | None, body: str | bytes, status: int, code: str
) -> None:
    """D-18, D-35, V-012, T12: strict types, no unknown key, no key twice, 64 KiB, JSON declared as such."""
    headers = {} if content_type is None else {"content-type": content_type}
    content = body if isinstance(body, bytes) else body.encode()
    answer = await offline.post(LOGIN, content=content, headers=headers)
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    assert "set-cookie" not in answer.headers


async def test_the_fields_that_are_wrong_are_named(offline: httpx2.AsyncClient) -> None:
    answer = await offline.post(LOGIN, json={"username": 7, "email": "x", "y" * 500: 1})
    assert error(answer)["fields"] == {
        "username": ["invalid_type"],
        "password": ["required"],
        "email": ["unknown_field"],
        "y" * 100: ["unknown_field"],
    }


async def test_json_may_be_declared_with_parameters_and_in_any_case(sqlite_auth: Auth) -> None:
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth)) as browser:
        for content_type in ("application/json", "Application/JSON ; charset=utf-8", "application/json;"):
            answer = await browser.post(LOGIN, content=json.dumps(OK), headers={"content-type": content_type})
            assert answer.status_code == 200


async def test_a_body_of_exactly_64_kib_is_read(sqlite_auth: Auth) -> None:
    body = json.dumps({"username": "ann", "password": ""})
    padded = body + " " * (64 * 1024 - len(body))
    async with client(site(sqlite_auth)) as browser:
        for content, status in ((padded, 401), (padded + " ", 413)):
            answer = await browser.post(LOGIN, content=content, headers={"content-type": "application/json"})
            assert answer.status_code == status


@pytest.mark.parametrize("declared", [None, b"2", b"0", b"-1", b"99999999999999999999", b"x"])
async def test_a_body_is_counted_while_it_arrives(declared: bytes | None) -> None:
    """V-036: Content-Length is not believed, and reading ends at the limit."""
    app, received, sent = site(make_auth("sqlite:///never-opened.db")), 0, list[Message]()

    async def receive() -> Message:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b" " * 16 * 1024, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    if declared is not None:
        headers.append((b"content-length", declared))
    scope = {"type": "http", "method": "POST", "path": LOGIN, "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert received == 5


async def test_a_client_that_goes_away_in_the_middle_of_its_body_harms_nobody() -> None:
    app, sent = site(make_auth("sqlite:///never-opened.db")), list[Message]()
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b'{"user', "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": LOGIN, "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    ("path", "allowed"),
    [(LOGIN, {"POST"}), (LOGOUT, {"POST"}), (SESSION, {"GET", "HEAD"})],
    ids=[LOGIN, LOGOUT, SESSION],
)
async def test_another_method_is_405_and_says_which_one_is_allowed(
    offline: httpx2.AsyncClient, path: str, allowed: set[str]
) -> None:
    """Django row A11: logging out by GET is 405."""
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "x"):
        answer = await offline.request(method, path)
        if method in allowed:
            assert answer.status_code != 405
            continue
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed
        if method != "HEAD":
            assert error(answer)["code"] == "method_not_allowed"


async def test_head_of_the_session_is_get_without_a_body(offline: httpx2.AsyncClient) -> None:
    first = await offline.get(SESSION)
    assert first.headers["set-cookie"].startswith(f"{CSRF_COOKIE}=")
    head, get = await offline.head(SESSION), await offline.get(SESSION)
    assert (head.status_code, head.headers, head.content) == (200, get.headers, b"")


async def test_logout_kills_the_token_and_not_only_the_cookie(
    url: str, auth: Auth, browser: httpx2.AsyncClient
) -> None:
    """T03, T04, V-016: a replay is anonymous, and an anonymous logout is harmless and makes no row."""
    await auth.users.create("ann", password=PASSWORD)
    await browser.post(LOGIN, json=OK)
    token = browser.cookies[COOKIE]
    assert await count(url, auth.tables.session) == 1
    await browser.post(LOGOUT)
    assert COOKIE not in browser.cookies
    assert await count(url, auth.tables.session) == 0
    replay = await browser.get(SESSION, headers={"cookie": f"{COOKIE}={token}"})
    assert without_token(replay) == ANONYMOUS
    for cookie in ("", f"{COOKIE}={token}", f"{COOKIE}={'A' * 43}", f"{COOKIE}=junk"):
        assert (await browser.post(LOGOUT, headers={"cookie": cookie})).status_code == 204
    assert await count(url, auth.tables.session) == 0


async def test_no_answer_holds_a_secret(sqlite_url: str) -> None:
    """T21: neither password nor hash nor token nor session id nor key, in body or header but the cookie itself."""
    auth = make_auth(sqlite_url)
    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD)
        answers = [
            await browser.post(LOGIN, json=OK),
            await browser.get(SESSION),
            await browser.post(LOGIN, json={**OK, "password": PASSWORD + "?"}),
            await browser.post(LOGIN, json={**OK, "other": PASSWORD}),
            await browser.post(LOGIN, content=json.dumps(OK)),
        ]
        token = browser.cookies[COOKIE]
        answers.append(await browser.post(LOGOUT))
    assert [answer.status_code for answer in answers] == [200, 200, 401, 422, 415, 204]
    for answer in answers:
        headers = [f"{name}: {value}" for name, value in answer.headers.items() if name != "set-cookie"]
        shown = answer.text + "\n".join(headers)
        for secret in (PASSWORD, ann.password, token, "argon2", *SECRET_KEYS):
            assert secret not in shown


async def test_when_too_many_passwords_wait_a_login_is_503_and_a_page_is_not(sqlite_url: str) -> None:
    """D-02: the queue is bounded; who is logged in does not notice."""
    entered, release = threading.Semaphore(0), threading.Event()

    class SlowHasher(CountingHasher):
        def verify(self, password: str, encoded: str) -> bool:
            entered.release()
            release.wait(60)
            return super().verify(password, encoded)

    policy = PasswordPolicy(hashers=[SlowHasher()], hash_slots=1, hash_queue=0, validators=())
    auth = make_auth(sqlite_url, passwords=policy)
    async with auth, client(site(auth)) as browser, anyio.create_task_group() as tasks:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        answers: list[httpx2.Response] = []

        async def log_in() -> None:
            answers.append(await browser.post(LOGIN, json=OK))

        tasks.start_soon(log_in)
        await anyio.to_thread.run_sync(entered.acquire)
        refused = await browser.post(LOGIN, json=OK)
        assert (refused.status_code, error(refused)["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await browser.get(SESSION)).status_code == 200
        release.set()
    assert [answer.status_code for answer in answers] == [200]
