from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import get_args

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Message

from asgiauth import Auth
from asgiauth.http.errors import ErrorCode

from ..conftest import BASE_URL, make_auth
from ..sites import COOKIE, PASSWORD, count, site

Headers = list[tuple[bytes, bytes]]

fuzz = settings(
    max_examples=100,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

anything = st.text(st.characters(exclude_categories=()), max_size=40)  # surrogates and NUL included
names = st.sampled_from(
    ["ann", "Ann@example.com", "ann\0", "\ud800", "a" * 10_000, "a" * 254, "'; DROP TABLE auth_user; --"]
)
passwords = st.sampled_from([PASSWORD, "", "!", "x" * 1025, "\0", "\udfff"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63), 10**400, -0.0])
    | st.floats()
    | anything
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3))
logins = st.fixed_dictionaries(
    {"username": names | anything | values, "password": passwords | anything | values},
    optional={"remember": st.booleans() | values, "backend": values, "\ud800": values, "__class__": values},
)
texts = (
    logins.map(json.dumps)
    | values.map(json.dumps)
    | st.sampled_from(
        [
            "[" * 60_000,
            '{"a":' * 10_000,
            '{"username": "ann", "username": "bob", "password": ""}',
            '{"username": %s, "password": ""}' % ("9" * 20_000),
            '{"username": "' + "a" * 2**20 + '"}',
            "[" + ",".join(["0"] * 30_000) + "]",
            "{" + ",".join(f'"{n}":0' for n in range(8000)) + "}",
            '{"username": "ann", "password": "correct horse", "remember": Infinity}',
            '{"username": "ann", "password": "correct horse", "remember": 1e999}',
        ]
    )
)
bodies = st.binary(max_size=200) | texts.map(str.encode) | texts.map(lambda text: text.encode("utf-16"))
tokens = (
    st.binary(max_size=60)
    | st.just(b"A" * 43)
    | st.just(b"x" * 10_000)
    | st.from_regex(rb"[A-Za-z0-9_-]{43}", fullmatch=True)
)
cookies = tokens | st.lists(
    st.tuples(
        st.sampled_from([COOKIE.encode(), f"{COOKIE}-csrf".encode(), f"{COOKIE}-pending".encode(), b"x", b""]), tokens
    ),
    max_size=3,
).map(lambda pairs: b"; ".join(name + b"=" + token for name, token in pairs))
types = st.sampled_from([b"application/json", b"application/json; charset=x", b"", b"text/plain", b"\xff"]) | st.binary(
    max_size=30
)
SAME_ORIGIN = (b"sec-fetch-site", b"same-origin")
sites = st.just(SAME_ORIGIN) | st.tuples(
    st.just(b"sec-fetch-site"), st.sampled_from([b"none", b"same-site", b"cross-site", b""]) | st.binary(max_size=12)
)
origins = st.tuples(
    st.just(b"origin"),
    st.sampled_from([BASE_URL.encode(), b"https://evil.example", b"null", b""]) | st.binary(max_size=30),
)
csrf_tokens = st.tuples(st.just(b"x-csrf-token"), st.just(b"A" * 64) | st.binary(max_size=70))
headers = st.lists(
    sites
    | origins
    | csrf_tokens
    | st.tuples(st.just(b"content-type"), st.just(b"application/json") | types)
    | st.tuples(st.just(b"cookie"), cookies)
    | st.tuples(
        st.sampled_from([b"content-length", b"host", b"accept", b"transfer-encoding"]),
        st.binary(max_size=30),
    )
    | st.tuples(st.binary(max_size=10), st.binary(max_size=30)),
    max_size=5,
)
methods = st.sampled_from(["GET", "POST"]) | st.sampled_from(["HEAD", "PUT", "DELETE", "OPTIONS", "post", "", "\0"])
endpoints = st.sampled_from(["login", "logout", "session"])
JSON: Headers = [(b"content-type", b"application/json")]


async def ask(
    app: Starlette, method: str, path: str, headers: Headers, chunks: Sequence[bytes]
) -> tuple[int, Headers, bytes]:
    """One request as a server would pass it on, with nothing that a client library would tidy up."""
    sent: list[Message] = []
    rest = list(chunks)

    async def receive() -> Message:
        body = rest.pop(0) if rest else b""
        return {"type": "http.request", "body": body, "more_body": bool(rest)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    await app({**scope, "scheme": "https", "root_path": "", "server": ("site.example", 443)}, receive, send)
    return sent[0]["status"], list(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


def asked_for_by_the_site(headers: Headers) -> bool:
    """D-18, for a view of ours and without a token: what the browser says decides, and then what no browser sends."""
    said = {name: [value for other, value in headers if other == name] for name, _ in headers}
    if b"sec-fetch-site" in said:
        return said[b"sec-fetch-site"] in ([b"same-origin"], [b"none"])
    if b"origin" in said:
        return said[b"origin"] == [BASE_URL.encode()]
    return b"cookie" not in said and b"x-csrf-token" not in said


def opened_by(answered: Headers) -> str:
    """The token of the session that an answer opens."""
    cookies = [value.decode() for name, value in answered if name == b"set-cookie"]
    tokens = [cookie.partition(";")[0].removeprefix(f"{COOKIE}=") for cookie in cookies if f"{COOKIE}=" in cookie]
    assert len(tokens) <= 1
    return "".join(tokens)


def test_no_request_whatever_breaks_an_endpoint(url: str) -> None:
    """T06, T11, T12: never 5xx; each 4xx has a code of ours; only the right password opens a session, when the site
    itself asked for it, and nothing else makes a row. On each server, because PostgreSQL refuses what SQLite keeps."""
    auth, opened = make_auth(url), 0
    app = site(auth)

    with asyncio.Runner() as runner:
        runner.run(_prepare(auth))

        def check(method: str, endpoint: str, headers: Headers, chunks: Sequence[bytes]) -> None:
            nonlocal opened
            status, answered, body = runner.run(ask(app, method, f"/api/auth/{endpoint}", headers, chunks))
            assert status in (200, 204, 400, 401, 403, 405, 413, 415, 422)
            if status >= 400:
                assert json.loads(body)["detail"]["code"] in get_args(ErrorCode)
            logged_in = endpoint == "login" and status == 200
            opened += logged_in
            assert bool(opened_by(answered)) == logged_in
            if not asked_for_by_the_site(headers):
                assert status in (403, 405) or method in ("GET", "HEAD")
            if logged_in:
                assert asked_for_by_the_site(headers)
                sent = json.loads(b"".join(chunks))
                assert sent["username"].strip().lower() in ("ann", "ann@example.com")
                assert sent["password"] == PASSWORD

        @fuzz
        @given(methods, endpoints, headers, st.lists(bodies, max_size=3))
        def anything_at_all(method: str, endpoint: str, headers: Headers, chunks: list[bytes]) -> None:
            check(method, endpoint, headers, chunks)

        @fuzz
        @given(texts.map(str.encode), st.lists(cookies, max_size=2), st.lists(st.just(SAME_ORIGIN) | sites, max_size=1))
        @example(json.dumps({"username": "ann", "password": PASSWORD}).encode(), [], [])
        @example(json.dumps({"username": "ann", "password": PASSWORD}).encode(), [b"x=1"], [SAME_ORIGIN])
        @example(json.dumps({"username": "ann\0", "password": PASSWORD}).encode(), [], [])
        @example(json.dumps({"username": "\ud800", "password": PASSWORD}).encode(), [], [])
        @example(json.dumps({"username": "ann", "password": "\0"}).encode(), [], [])
        def a_login(body: bytes, cookies: list[bytes], site: Headers) -> None:
            check("POST", "login", [*JSON, *((b"cookie", cookie) for cookie in cookies), *site], [body])

        @fuzz
        @given(cookies)
        def a_cookie(cookie: bytes) -> None:
            status, _, body = runner.run(ask(app, "GET", "/api/auth/session", [(b"cookie", cookie)], []))
            assert (status, json.loads(body)["user"]) == (200, None)

        try:
            for property_ in (anything_at_all, a_login, a_cookie):
                property_()
            assert opened > 0
            assert runner.run(count(url, auth.tables.session)) == opened
        finally:
            runner.run(auth.__aexit__(None, None, None))


async def _prepare(auth: Auth) -> None:
    await auth.__aenter__()
    await auth.create_tables()
    await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
