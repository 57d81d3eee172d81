"""The Django site of `tests/django_site`, and one browser for it and for an application with asgiauth."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
from starlette.types import ASGIApp

from asgiauth import PasswordPolicy
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher
from asgiauth.testing import Client, client

from ..conftest import BASE_URL, FAST
from ..parity.django_interpreter import find

SITE = Path(__file__).parent.parent / "django_site"
LIKE_DJANGO = PasswordPolicy(
    hashers=[PBKDF2Hasher(iterations=1000), Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)],
    min_length=FAST.min_length,
    validators=(),
    failure_deadline=0,
)
"""Hashes as the Django site does, at its cost, so that neither rewrites what the other wrote."""


class DjangoError(Exception):
    """What a step raised in Django: the name of the class, and its message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Django:
    """`await django("has_perm", "ann", "blog.add_post")`: a step of tests/django_site/steps.py, in its own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, step: str, *args: Any, **kwargs: Any) -> Any:
        """What the step returned. Raises `DjangoError` for what it raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = json.dumps({"do": step, "args": args, "kwargs": kwargs})
        async with self._one_at_a_time:
            self._process.stdin.write(question.encode() + b"\n")
            line = await self._process.stdout.readline()
        assert line, "the Django process has ended; what it said is in the captured stderr"
        answer = json.loads(line)
        if "error" in answer:
            raise DjangoError(*answer["error"])
        return answer["result"]

    async def run(self, source: str, **names: Any) -> Any:
        """Runs Python code there, which knows `names`, `User`, `Group` and `Permission`; returns its `result`."""
        return await self("run", source, **names)


@asynccontextmanager
async def django_site(url: str, *, secret_key: str = "", **settings: Any) -> AsyncIterator[Django]:
    """The site on that database, not migrated; `settings` are Django's, in place of those of the site."""
    environment = {**os.environ, "SITE_DATABASE": url, "SITE_SETTINGS": json.dumps(settings)}
    if secret_key:
        environment["SITE_SECRET_KEY"] = secret_key
    process = await asyncio.create_subprocess_exec(
        str(find()),
        str(SITE / "steps.py"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        limit=2**24,
    )
    try:
        yield Django(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


class _Both(httpx2.AsyncBaseTransport):
    """As a proxy in front of the two would: `/django/` is Django's, everything else the application's."""

    def __init__(self, django: Django, app: ASGIApp) -> None:
        self._django = django
        self._app = httpx2.ASGITransport(app=app)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.startswith("/django/"):
            return await self._app.handle_async_request(request)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        body = (await request.aread()).decode("latin-1")
        query = request.url.query.decode("latin-1")
        answer = await self._django("http", request.method, request.url.path, query, headers, body)
        return httpx2.Response(answer["status"], headers=answer["headers"], content=answer["body"].encode("latin-1"))


def both(django: Django, app: ASGIApp) -> Client:
    """A browser with one cookie jar that has both open, at one address."""
    return client(app, transport=_Both(django, app), headers={"Origin": BASE_URL})


class _Forms(HTMLParser):
    """The forms of a page, as a browser would send them back: {name: [value, ...]}, each with its action."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self._select = ""
        self._textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, kind = given.get("name", ""), given.get("type", "text")
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self._add(self._select, given.get("value", ""))
        elif tag == "textarea":
            self._textarea = name
            self._add(name, "")
        elif tag == "input" and name and kind not in ("submit", "button", "file"):
            ticked = kind in ("checkbox", "radio")
            if not ticked or "checked" in given:
                self._add(name, given.get("value", "on" if ticked else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.forms[-1][1][self._textarea] = [data.removeprefix("\n")]

    def _add(self, name: str, value: str) -> None:
        if self.forms:
            self.forms[-1][1].setdefault(name, []).append(value)


def form_on(page: httpx2.Response) -> dict[str, list[str]]:
    """The last form of a page, filled in as the page is: the one that is not for logging out."""
    assert page.status_code == 200, page.text
    parser = _Forms()
    parser.feed(page.text)
    return parser.forms[-1][1]


async def submit(browser: Client, path: str, **changes: str | Iterable[str] | None) -> httpx2.Response:
    """Gets the page, changes these fields of its form (None takes one out, as unticking does) and sends it back."""
    fields: dict[str, Any] = form_on(await browser.get(path))
    for name, value in changes.items():
        fields[name] = [] if value is None else [value] if isinstance(value, str) else list(value)
    return await browser.post(path, data=_filled(fields))


def _filled(fields: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: values for name, values in fields.items() if values}
