"""The Django site of `tests/django_site`, and one browser for it and for an application with asgiauth."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from threading import Lock
from typing import Any

import httpx2
from starlette.routing import Mount
from starlette.types import ASGIApp

from asgiauth import PasswordPolicy, Permission, crud
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher
from asgiauth.testing import Client, client

from ..conftest import BASE_URL, FAST
from ..parity.django_interpreter import find
from ..sessions.helpers import Site
from ..sites import PASSWORD, connected

DJANGO_SITE = Path(__file__).parent.parent / "django_site"
LIKE_DJANGO = PasswordPolicy(
    hashers=[PBKDF2Hasher(iterations=1000), Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)],
    min_length=FAST.min_length,
    validators=(),
    failure_deadline=0,
)
"""Hashes as the Django site does, at its cost, so that neither rewrites what the other wrote."""
PERMISSIONS = [
    *crud("blog", "post"),
    Permission("blog.publish_post", "Can publish posts", model="post"),
    Permission("shop.close", "Can close the shop"),
]
"""Those of the model that the Django site has, and one that no model of Django's has."""


class DjangoError(Exception):
    """What a step raised in Django: the name of the class, and its message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Django:
    """`await django("has_perm", "ann", "blog.add_post")`: a step of tests/django_site/steps.py, in its own process."""

    def __init__(self, url: str, *, secret_key: str = "", **settings: Any) -> None:
        environment = {**os.environ, "SITE_DATABASE": url, "SITE_SETTINGS": json.dumps(settings)}
        if secret_key:
            environment["SITE_SECRET_KEY"] = secret_key
        command = [str(find()), str(DJANGO_SITE / "steps.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._one_at_a_time = Lock()

    async def __call__(self, step: str, *args: Any, **kwargs: Any) -> Any:
        """What the step returned. Raises `DjangoError` for what it raised."""
        answer = json.loads(await asyncio.to_thread(self._ask, {"do": step, "args": args, "kwargs": kwargs}))
        if "error" in answer:
            raise DjangoError(*answer["error"])
        return answer["result"]

    async def run(self, source: str, **names: Any) -> Any:
        """Runs Python code there, which knows `names`, `User`, `Group` and `Permission`; returns its `result`."""
        return await self("run", source, **names)

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, question: Mapping[str, Any]) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        assert line, "the Django process has ended; stderr says why"
        return line


@asynccontextmanager
async def django_site(url: str, *, secret_key: str = "", **settings: Any) -> AsyncIterator[Django]:
    """The site on that database, not migrated; `settings` are Django's, in place of those of the site."""
    django = Django(url, secret_key=secret_key, **settings)
    try:
        yield django
    finally:
        django.close()


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


@asynccontextmanager
async def beside(url: str, **options: Any) -> AsyncIterator[Site]:
    """An application with asgiauth on the same database, with its pages at /auth."""
    async with connected(url, **{"passwords": LIKE_DJANGO, "permissions": PERMISSIONS, **options}) as auth:
        yield Site(auth, Mount("/auth", routes=auth.html_routes()))


async def who(browser: Client, site: Site) -> tuple[str, str]:
    """Whom Django takes the browser for, and whom we do; blank for nobody."""
    here = await site.ask(browser, lambda request: request.user.username)
    return (await browser.get("/django/whoami/")).json()["username"], here


async def log_in_at_django(browser: Client, username: str = "ann", password: str = PASSWORD) -> bool:
    """By Django's own page."""
    answer = await submit(browser, "/django/login/", username=username, password=password)
    return answer.status_code == 302


async def log_in_here(browser: Client, username: str = "ann", password: str = PASSWORD) -> bool:
    """By the JSON API."""
    answer = await browser.post("/api/auth/login", json={"username": username, "password": password})
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


async def log_in_on_our_page(browser: Client, username: str = "ann", password: str = PASSWORD) -> bool:
    answer = await submit(browser, "/auth/login", username=username, password=password)
    return answer.status_code == 303


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
