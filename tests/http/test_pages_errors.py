"""What the middleware itself refuses, as a browser and as a script see it: an outage, and a form of another site."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth
from asgiauth.exceptions import NotFound, Unavailable
from asgiauth.testing import Client, client

from ..conftest import make_auth
from ..servers import PrivateServer
from ..sites import COOKIE
from .paging import BROWSER, CHANGE, LOGIN, PASSWORD, Page, log_in, site
from .test_outage import FACTORIES
from .test_pages_attacked import EXACT

CHROME = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
OLD = {"Accept": "text/html, */*"}
SCRIPTS = [
    {"Accept": "application/json", "Sec-Fetch-Mode": "cors"},
    {"Accept": "*/*", "Sec-Fetch-Mode": "cors"},
    {"Accept": "text/html", "Sec-Fetch-Mode": "cors"},
    {"Accept": "application/json, text/html", "Sec-Fetch-Mode": "navigate"},
    {"Accept": "*/*", "Sec-Fetch-Mode": "navigate"},
    {"Accept": ""},
]
SORRY = "The service is unavailable for the moment. Try again."
FORGED = "This page is too old, or another site has sent you here. Load it again and try once more."
ELSEWHERE = {"Sec-Fetch-Site": "same-site", "Origin": "https://other.site.example"}


def is_page(answer: httpx2.Response, status: int, alert: str) -> bool:
    """With the headers of every page of ours, and nobody's name on it."""
    page = Page(answer)
    assert (answer.status_code, page.alert) == (status, alert)
    assert EXACT.items() <= dict(answer.headers).items()
    assert "'nonce-" in answer.headers["content-security-policy"]
    assert "set-cookie" not in answer.headers
    assert page.texts("title") == page.texts("h1") == ["That did not work"]
    assert [link["href"] for link in page.all("a")] == ["/"]
    return True


def is_json(answer: httpx2.Response, status: int, code: str) -> bool:
    assert answer.headers["content-type"] == "application/json"
    assert (answer.status_code, answer.json()["detail"]["code"]) == (status, code)
    assert "content-security-policy" not in answer.headers
    return True


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    server = FACTORIES[request.param]()
    yield server
    server.close()


async def test_D23_with_the_database_stopped_a_browser_gets_a_page_and_a_script_json(server: PrivateServer) -> None:
    """503 with Retry-After; the cookie stays and holds when the server is back."""
    server.start()
    auth = make_auth(server.url)
    app = site(auth)
    async with auth, client(app, headers=CHROME) as browser, client(app, headers=CHROME) as visitor:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        await log_in(browser)
        token = browser.cookies[COOKIE]
        await asyncio.to_thread(server.stop)
        for path in ("/", LOGIN, CHANGE):
            answer = await browser.get(path)
            assert is_page(answer, 503, SORRY)
            assert int(answer.headers["retry-after"]) > 0
            (style,) = Page(answer).all("style")
            assert "ann" not in answer.text.replace(str(style["nonce"]), "")  # where it may be by chance
        assert is_page(await browser.post(LOGIN, data={"username": "ann", "password": PASSWORD}), 503, SORRY)
        for headers in SCRIPTS:
            answer = await browser.get("/", headers=headers)
            assert is_json(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
        answer = await visitor.post(LOGIN, data={"username": "ann", "password": PASSWORD})
        assert (answer.status_code, Page(answer).alert) == (503, SORRY)  # the login page's own
        assert browser.cookies[COOKIE] == token
        await asyncio.to_thread(server.start)
        assert (await browser.get("/")).text == "ann"


@asynccontextmanager
async def members(url: str, *routes: Any, app: Any = None, **options: Any) -> AsyncIterator[Client]:
    """A site with pages, where Ann is logged in."""
    auth = make_auth(url, **options)
    async with auth, client(app(auth) if app else site(auth, *routes), headers=CHROME) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        await log_in(browser)
        yield browser


async def write(request: Request) -> Response:
    return PlainTextResponse("written")


WRITE = Route("/write", write, methods=["POST"])


@pytest.mark.parametrize("headers", [CHROME, OLD, BROWSER])
async def test_D18_a_form_of_another_site_is_refused_with_a_page(sqlite_url: str, headers: dict[str, str]) -> None:
    async with members(sqlite_url, WRITE) as browser:
        for name in ("Sec-Fetch-Mode", "Sec-Fetch-Dest"):
            browser.headers.pop(name)
        assert (await browser.post("/write", data={"text": "x"}, headers=headers)).text == "written"
        answer = await browser.post("/write", data={"text": "x"}, headers={**headers, **ELSEWHERE})
        assert is_page(answer, 403, FORGED)
        assert {"Sec-Fetch-Site", "Origin", "Cookie"} <= set(answer.headers["vary"].split(", "))
        assert is_page(await browser.post(CHANGE, data={}, headers={**headers, **ELSEWHERE}), 403, FORGED)
        assert (await browser.get("/")).text == "ann"


@pytest.mark.parametrize("headers", SCRIPTS, ids=lambda headers: headers["Accept"])
async def test_D18_a_script_of_another_site_is_refused_in_json(sqlite_url: str, headers: dict[str, str]) -> None:
    async with members(sqlite_url, WRITE) as browser:
        browser.headers.pop("Sec-Fetch-Mode")
        answer = await browser.post("/write", json={}, headers={**headers, **ELSEWHERE})
        assert is_json(answer, 403, "csrf_failed")
        assert set(answer.headers) == {"cache-control", "x-content-type-options", "content-length", "vary"} | {
            "content-type"
        }


async def test_without_pages_a_browser_gets_json_as_before(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url)
    app = Starlette(routes=[WRITE, Mount("/api/auth", routes=auth.json_routes)], middleware=auth.middleware)
    async with auth, client(app, headers=CHROME) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert is_json(await browser.post("/write", data={}, headers=ELSEWHERE), 403, "csrf_failed")


async def broken(request: Request) -> Response:
    raise Unavailable("the disk is full", retry_after=7)


async def missing(request: Request) -> Response:
    raise NotFound("no such post")


async def too_much(request: Request) -> Response:
    request.session["all"] = "x" * 70_000
    return PlainTextResponse("never sent")


INNER = Mount("/inner", routes=[Route("/broken", broken), Route("/much", too_much)])


@pytest.mark.parametrize("handled", [True, False], ids=["by the handlers", "by the middleware"])
async def test_D23_what_a_view_cannot_do_for_an_outage_is_a_page_too(sqlite_url: str, handled: bool) -> None:
    """Wherever it is mounted, with links from the root of the site; other errors of a view stay the application's."""

    def application(auth: Auth) -> Starlette:
        options: dict[str, Any] = {} if handled else {"exception_handlers": {}}
        return site(auth, INNER, Route("/missing", missing), **options)

    async with members(sqlite_url, app=application) as browser:
        answer = await browser.get("/inner/broken")
        assert is_page(answer, 503, SORRY)
        assert answer.headers["retry-after"] == "7"
        assert "the disk" not in answer.text
        assert is_json(await browser.get("/inner/broken", headers=SCRIPTS[0]), 503, "unavailable")
        if handled:
            assert is_json(await browser.get("/missing"), 404, "not_found")


async def test_a_session_that_cannot_be_saved_is_a_page_too(sqlite_url: str) -> None:
    async with members(sqlite_url, INNER) as browser:
        assert is_page(await browser.get("/inner/much"), 413, "This is more than can be remembered.")
        assert is_json(await browser.get("/inner/much", headers=SCRIPTS[0]), 413, "session_too_large")
        assert (await browser.get("/")).text == "ann"


async def test_in_fastapi_it_is_the_same(sqlite_url: str) -> None:
    def application(auth: Auth) -> FastAPI:
        app = FastAPI(middleware=auth.middleware, exception_handlers=auth.exception_handlers)
        app.add_route("/broken", broken)
        app.mount("/auth", Starlette(routes=auth.html_routes()))
        return app

    async with members(sqlite_url, app=application) as browser:
        assert is_page(await browser.get("/broken"), 503, SORRY)


async def test_the_handlers_answer_json_without_the_middleware(sqlite_auth: Auth) -> None:
    app = site(sqlite_auth, Route("/broken", broken), middleware=[])
    async with client(app, base_url="https://site.example", headers=CHROME) as browser:
        assert is_json(await browser.get("/broken"), 503, "unavailable")


@asynccontextmanager
async def branded(url: str, tmp_path: Path, template: str) -> AsyncIterator[Client]:
    """With a frame of the application's own around every page."""
    (tmp_path / "asgiauth").mkdir()
    (tmp_path / "asgiauth" / "error.html").write_text(template)

    def application(auth: Auth) -> Starlette:
        return site(auth, WRITE, templates=auth.templates(tmp_path))

    async with members(url, app=application) as browser:
        yield browser


async def test_a_template_of_the_application_may_ask_all_that_others_may(sqlite_url: str, tmp_path: Path) -> None:
    """It gets a visitor's answers: no name, no permissions, no cookie for the token."""
    template = "{{ user.username }}|{{ perms.blog.add_post }}|{{ csrf_input() }}|{{ base }}|{{ url_for('login') }}"
    async with branded(sqlite_url, tmp_path, template) as browser:
        answer = await browser.post("/write", headers=ELSEWHERE)
        assert answer.status_code == 403
        assert answer.text.startswith("|False|<input")
        assert answer.text.endswith("|/auth|/auth/login")
        assert "set-cookie" not in answer.headers


async def test_a_broken_template_does_not_hide_the_answer(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with branded(sqlite_url, tmp_path, "{{ nothing.of.that.name }}") as browser:
        with caplog.at_level(logging.ERROR, "asgiauth"):
            assert is_json(await browser.post("/write", headers=ELSEWHERE), 403, "csrf_failed")
        assert "mend asgiauth/error.html" in caplog.text


async def test_the_page_is_in_the_language_of_the_request(sqlite_url: str) -> None:
    german = {"error.title": "Das ging nicht", "error.unavailable": "Gerade nicht erreichbar.", "nav.home": "Zurück"}

    def language(connection: Any) -> str:
        assert not connection.user.is_authenticated
        return str(connection.headers.get("accept-language", ""))

    async with members(sqlite_url, INNER, texts={"de": german}, locale=language) as browser:
        browser.headers["Accept-Language"] = "de"
        answer = await browser.get("/inner/broken")
        assert Page(answer).all("html") == [{"lang": "de", "dir": "ltr"}]
        assert (Page(answer).alert, Page(answer).texts("h1")) == ("Gerade nicht erreichbar.", ["Das ging nicht"])


async def test_below_a_prefix_the_links_of_an_error_keep_it(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url)
    transport = httpx2.ASGITransport(app=site(auth, INNER), root_path="/shop")
    async with auth, httpx2.AsyncClient(transport=transport, base_url="https://site.example/shop") as browser:
        await auth.create_tables()
        page = Page(await browser.get("/inner/broken", headers=CHROME))
        assert page.all("a")[0]["href"] == "/shop/"


async def test_a_database_that_is_not_connected_is_a_page_and_json(sqlite_url: str) -> None:
    """Here on SQLite alone: nobody has entered `auth`."""
    auth = make_auth(sqlite_url)
    async with client(site(auth), headers={**CHROME, "Cookie": f"{COOKIE}={'x' * 43}"}) as browser:
        assert is_page(await browser.get("/"), 503, SORRY)
        assert is_json(await browser.get("/", headers=SCRIPTS[0]), 503, "unavailable")
