"""The token in the body of a form is read before the application reads the body, which it then finds unharmed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgiauth.http.csrf import MAX_BODY, read_form_token

FORM = "application/x-www-form-urlencoded"


class Reads:
    """A middleware as ours: it looks for the token first."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["token"], receive = await read_form_token(scope, receive)
        await self.app(scope, receive, send)


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body(), headers={"token": repr(request.scope["token"])})


async def form(request: Request) -> Response:
    return JSONResponse({"token": request.scope["token"], **(await request.form())})


app = Starlette(
    routes=[Route("/echo", echo, methods=["POST"]), Route("/form", form, methods=["POST"])],
    middleware=[Middleware(Reads)],
)


async def post(content: bytes | AsyncIterator[bytes], content_type: str | None = FORM) -> tuple[str, bytes]:
    """The token that was found, and the body as the application saw it."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="https://site.example") as client:
        answer = await client.post("/echo", content=content, headers=headers)
    return answer.headers["token"], answer.content


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_form_arrives_with_all_its_fields() -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="https://site.example") as client:
        answer = await client.post("/form", data={"title": "a b&c", "csrf_token": "t-1_x"})
    assert answer.json() == {"token": "t-1_x", "title": "a b&c", "csrf_token": "t-1_x"}


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b"csrf_token=abc", "abc"),
        (b"a=1&csrf_token=abc&b=2", "abc"),
        (b"csrf_token=", ""),
        (b"csrf_token=\xff", "\xff"),
        (b"csrf_token=a&csrf_token=a", None),  # exactly one
        (b"csrf_token=a&x=1&csrf_token=", None),
        (b"csrf_token", None),
        (b"xcsrf_token=a&CSRF_TOKEN=b", None),
        (b"", None),
        (b"&&&=&\x00", None),
        (b"csrf_token=a&x=" + b"x" * (MAX_BODY - 15), "a"),
        (b"csrf_token=a&x=" + b"x" * (MAX_BODY - 14), None),  # one byte too many
        (b"csrf_token=a&x=" + b"x" * (3 * MAX_BODY), None),
    ],
)
async def test_exactly_one_value_counts_and_the_body_is_the_same(body: bytes, token: str | None) -> None:
    assert await post(body) == (repr(token), body)


async def test_a_form_may_arrive_in_pieces() -> None:
    body = b"a=1&csrf_token=abc&b=2"
    assert await post(chunks(*(body[at : at + 1] for at in range(len(body))))) == ("'abc'", body)
    assert await post(chunks(b"", body[:7], b"", body[7:], b"")) == ("'abc'", body)
    big = [b"csrf_token=abc&x=", *[b"x" * 10_000] * 10]
    assert await post(chunks(*big)) == ("None", b"".join(big))


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", "", None]
)
async def test_only_an_urlencoded_form_is_read(content_type: str | None) -> None:
    assert await post(b"csrf_token=abc", content_type) == ("None", b"csrf_token=abc")


@pytest.mark.parametrize("content_type", [FORM.upper(), f"{FORM}; charset=utf-8", f" {FORM} ;x"])
async def test_the_content_type_is_compared_without_its_parameters(content_type: str) -> None:
    assert await post(b"csrf_token=abc", content_type) == ("'abc'", b"csrf_token=abc")


def message(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


DISCONNECT: Message = {"type": "http.disconnect"}


async def replayed(
    messages: Sequence[Message], content_type: bytes = FORM.encode()
) -> tuple[str | None, list[Message]]:
    """The token, and what the application receives until the client is gone; the server may not be asked more often
    than it has messages, or the request hangs."""
    rest = list(messages)

    async def receive() -> Message:
        return rest.pop(0)

    token, receive_again = await read_form_token({"headers": [(b"content-type", content_type)]}, receive)
    return token, [await receive_again() for _ in messages]


async def test_the_application_gets_the_same_messages() -> None:
    body = b"a=1&csrf_token=abc"
    choose = random.Random(3)
    for _ in range(300):
        cuts = sorted(choose.choices(range(len(body) + 1), k=choose.randint(0, 6)))
        parts = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        messages = [message(part, more=True) for part in parts[:-1]] + [message(parts[-1], more=False), DISCONNECT]
        assert await replayed(messages) == ("abc", messages)


async def test_a_message_need_not_have_a_body() -> None:
    messages: list[Message] = [{"type": "http.request", "more_body": True}, {"type": "http.request"}]
    assert await replayed(messages) == (None, messages)


@pytest.mark.parametrize("before", [0, 1, 5])
async def test_a_client_that_leaves_in_the_middle_is_noticed_by_the_application(before: int) -> None:
    messages = [message(b"csrf_token=abc&", more=True)] * before + [DISCONNECT, DISCONNECT]
    assert await replayed(messages) == (None, messages)


async def test_D35_a_client_that_sends_empty_frames_for_ever_is_not_kept() -> None:
    """No more is read than 64 Ki messages; the application meets the rest."""
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return message(b"", more=True)

    headers = [(b"content-type", FORM.encode())]
    token, _ = await read_form_token({"headers": headers}, receive)
    assert (token, asked) == (None, MAX_BODY + 1)


async def test_a_content_type_that_is_doubled_is_none() -> None:
    headers = [(b"content-type", FORM.encode())] * 2

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    assert await read_form_token({"headers": headers}, receive) == (None, receive)
