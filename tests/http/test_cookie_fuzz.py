"""T06: whatever a browser sends as one of our cookies, nobody gets in who has no session, and nothing breaks."""

from __future__ import annotations

import random
import string
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from asgiauth import Auth
from asgiauth.testing import client, force_login

MUTATIONS = 100_000
ALPHABET = string.ascii_letters + string.digits + "-_"


async def whoami(request: Request) -> Response:
    return PlainTextResponse(request.user.username)


def mutated(token: str, chance: random.Random) -> bytes:
    """A token that is wrong in one of the ways of T06."""
    at = chance.randrange(len(token))
    match chance.randrange(12):
        case 0:  # another character
            other = chance.choice([character for character in ALPHABET if character != token[at]])
            return (token[:at] + other + token[at + 1 :]).encode()
        case 1:  # a bit flipped
            raw = bytearray(token.encode())
            raw[at] ^= 1 << chance.randrange(8)
            return bytes(raw)
        case 2:
            return token[:at].encode()
        case 3:
            return (token + chance.choice(ALPHABET)).encode()
        case 4:
            return token.swapcase().encode()
        case 5:
            return (token + "=" * chance.randrange(1, 4)).encode()
        case 6:
            return "".join(chance.choices(ALPHABET, k=43)).encode()
        case 7:
            return chance.randbytes(chance.randrange(80)).replace(b";", b"")
        case 8:
            return (token[:at] + "\u0661" + token[at + 1 :]).encode()
        case 9:
            return (token[:at] + "\0" + token[at + 1 :]).encode()
        case 10:
            return chance.choice([b"", b"null", b"None", b"0", b"true", b"{}", b"[]", b'""', b"x" * 8192])
        case _:  # twice: which one is meant is not clear
            return token.encode() + b"; NAME=" + token.encode()


async def test_T06_100_000_mutated_cookies_let_nobody_in(sqlite_auth: Auth) -> None:
    """Each is answered 200 as nobody; a few of them are pending logins and CSRF bindings."""
    app = Starlette(routes=[Route("/", whoami)], middleware=sqlite_auth.middleware)
    browser = client(app)
    await force_login(browser, await sqlite_auth.users.create("ann", password=None))
    (token,) = browser.cookies.values()
    chance = random.Random(3)
    outcomes: Counter[Any] = Counter()

    async def send(message: Message) -> None:
        outcomes[message.get("status", message.get("body"))] += 1

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ask(cookie: bytes) -> None:
        await app(
            {
                "type": "http",
                "http_version": "1.1",
                "method": "GET",
                "scheme": "https",
                "path": "/",
                "raw_path": b"/",
                "root_path": "",
                "query_string": b"",
                "headers": [(b"host", b"site.example"), (b"cookie", cookie)],
                "client": ("203.0.113.7", 1234),
                "server": ("site.example", 443),
            },
            receive,
            send,
        )

    await ask(b"__Host-asgiauth=" + token.encode())
    assert outcomes == {200: 1, b"ann": 1}
    outcomes.clear()
    names = [b"__Host-asgiauth"] * 8 + [b"__Host-asgiauth-pending", b"__Host-asgiauth-csrf"]
    for _ in range(MUTATIONS):
        value = mutated(token, chance)
        if value != token.encode():
            name = chance.choice(names)
            await ask(name + b"=" + value.replace(b"NAME", name))
    assert set(outcomes) == {200, b""}
