"""T09: whatever a request says of its host, no answer of ours repeats it, and none is decided by it (D-27)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message

from asgiauth import Auth, login_required

from ..conftest import make_auth
from ..sites import PASSWORD

# "evilsite" is looked for in answers full of random tokens: a shorter mark would turn up in them by chance
HOSTS: list[list[bytes]] = [
    [],
    [b""],
    [b"evilsite.test"],
    [b"EVILSITE.TEST"],
    [b"evilsite.test:443"],
    [b"evilsite.test:99999"],
    [b"evilsite.test:0"],
    [b"evilsite.test:-1"],
    [b"evilsite.test:port"],
    [b"evilsite.test:80:80"],
    [b"evilsite.test."],
    [b".evilsite.test"],
    [b"site.example.evilsite.test"],
    [b"evilsite.test/abc?b="],
    [b"evilsite.test#"],
    [b"evilsite.test?"],
    [b"evilsite.test\\"],
    [b"evilsite.test\\@site.example"],
    [b"site.example@evilsite.test"],
    [b"site.example:x@evilsite.test"],
    [b"evilsite.test@site.example"],
    [b"https://evilsite.test"],
    [b"https://evilsite.test/"],
    [b"//evilsite.test"],
    [b"javascript:evilsite"],
    [b"[::1]:evilsite"],
    [b"[::1"],
    [b"[evilsite]"],
    [b"evilsite.test,site.example"],
    [b"evilsite.test site.example"],
    [b"site.example\tevilsite.test"],
    [b"site.example\r\nX-Evilsite: evilsite"],
    [b"evilsite.test\x00"],
    [b"xn--evilsite-poa.test"],
    ["\u00e9vil.evilsite.test".encode()],
    [b"\xff\xfeevilsite"],
    [b'evilsite"><script>alert(1)</script>'],
    [b"evilsite" * 1000],
    [b"site.example", b"evilsite.test"],
    [b"evilsite.test", b"site.example"],
]
FORWARDED: list[list[tuple[bytes, bytes]]] = [
    [],
    [(b"x-forwarded-host", b"evilsite.test")],
    [(b"x-forwarded-host", b"site.example, evilsite.test"), (b"x-forwarded-proto", b"http")],
    [(b"forwarded", b'for=192.0.2.1;host="evilsite.test";proto=http')],
    [(b"x-forwarded-server", b"evilsite.test"), (b"x-host", b"evilsite.test"), (b"x-original-host", b"evilsite.test")],
    [(b"x-original-url", b"/evilsite"), (b"x-rewrite-url", b"/evilsite"), (b"x-forwarded-prefix", b"/evilsite")],
]
PEERS = {"trusted": "10.0.0", "untrusted": "203.0.113"}
"""Networks: each hostile host has an address and a user name of its own, so that no limit of logins is met."""


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: str

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def decision(self) -> tuple[int, list[str], list[str]]:
        """What no host may change."""
        return self.status, self.all("location"), sorted(name for name, _ in self.headers)


class Sender:
    """Sends what a well-behaved client would not."""

    def __init__(self, app: Starlette, network: str, number: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.app, self.number, self.headers = app, number, headers
        self.peer = f"{network}.{number}"
        self.cookie = b""

    async def send(self, method: str, path: str, form: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        kind = b"application/json" if form is None else b"application/x-www-form-urlencoded"
        body = body if form is None else urlencode(form).encode()
        headers = [
            *self.headers,
            (b"accept", b"text/html"),
            (b"sec-fetch-site", b"same-origin"),
            (b"content-type", kind),
        ]
        if self.cookie:
            headers.append((b"cookie", self.cookie))
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": b"", "scheme": "https"}
        scope |= {"client": (self.peer, 1), "server": ("127.0.0.1", 8000), "root_path": "", "http_version": "1.1"}
        await self.app({**scope, "raw_path": path.encode(), "headers": headers}, receive, send)
        head = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"]]
        return Answer(sent[0]["status"], head, b"".join(one.get("body", b"") for one in sent[1:]).decode())

    async def everything(self) -> list[Answer]:
        """In by the page and out again, and by the JSON API: what a visitor and a member are answered."""
        form = {"username": "ann", "password": PASSWORD, "next": "/guarded"}
        wrong = {"username": f"nobody{self.number}", "password": "wrong"}
        asked = [
            await self.send("GET", "/auth/login"),
            await self.send("GET", "/guarded"),
            await self.send("GET", "/auth/sessions"),
            await self.send("POST", "/auth/login", {**form, **wrong}),
            await self.send("POST", "/api/auth/login", body=json.dumps(wrong).encode()),
            await self.send("GET", "/api/auth/session"),
            await self.send("GET", "/api/auth/sessions"),
            login := await self.send("POST", "/auth/login", form),
        ]
        self.cookie = login.all("set-cookie")[0].partition(";")[0].encode()
        asked += [
            await self.send("GET", "/guarded"),
            await self.send("GET", "/auth/sessions"),
            await self.send("GET", "/auth/password_change"),
            await self.send("GET", "/api/auth/session"),
            await self.send("POST", "/auth/logout", {}),
        ]
        return asked


@login_required
async def guarded(request: Request) -> Response:
    return PlainTextResponse("in")


@pytest.fixture
async def app(sqlite_url: str) -> AsyncIterator[Starlette]:
    auth: Auth = make_auth(sqlite_url, trusted_proxies=["10.0.0.0/8"])
    async with auth:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        routes = [Route("/guarded", guarded), Mount("/auth", routes=auth.html_routes())]
        yield Starlette(
            routes=[*routes, Mount("/api/auth", routes=auth.json_routes)],
            middleware=auth.middleware,
            exception_handlers=auth.exception_handlers,
        )


@pytest.mark.parametrize("network", PEERS.values(), ids=PEERS)
async def test_T09_no_answer_repeats_a_hostile_host_or_is_decided_by_it(app: Starlette, network: str) -> None:
    """Not in a redirect, a link, a cookie or anywhere else; from a trusted proxy neither."""
    assert len(HOSTS) == 40
    usual = [answer.decision for answer in await Sender(app, network, 200, [(b"host", b"site.example")]).everything()]
    assert [status for status, _, _ in usual] == [200, 303, 303, 200, 401, 200, 401, 303, 200, 200, 200, 200, 303]
    for number, hosts in enumerate(HOSTS):
        forwarded = FORWARDED[number % len(FORWARDED)]
        answers = await Sender(app, network, number, [*((b"host", host) for host in hosts), *forwarded]).everything()
        assert [answer.decision for answer in answers] == usual, hosts
        told = [answer for answer in answers if "evilsite" in f"{answer.headers} {answer.body}".lower()]
        assert told == [], hosts
        links = [place for answer in answers for place in answer.all("location")]
        assert all(place.startswith("/") and not place.startswith("//") for place in links), hosts
        assert not any("domain=" in cookie.lower() for answer in answers for cookie in answer.all("set-cookie"))
