"""Where the pages may stand, and how an application makes them its own."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates

from asgiauth import Auth
from asgiauth.exceptions import ConfigurationError, MissingDependency
from asgiauth.guards import protect, public
from asgiauth.http.templates import device_name
from asgiauth.testing import client

from ..conftest import BASE_URL, make_auth
from .paging import BROWSER, CHANGE, LOGIN, LOGOUT, PASSWORD, SESSIONS, Page, home, log_in, site, where


async def test_below_a_prefix_that_the_proxy_strips_every_address_keeps_it(sqlite_url: str) -> None:
    """`uvicorn --root-path /shop`: the form, the redirects and the links."""
    auth = make_auth(sqlite_url)
    app = site(auth)
    transport = httpx2.ASGITransport(app=app, root_path="/shop")
    headers = {"Sec-Fetch-Site": "same-origin", **BROWSER}
    async with auth, httpx2.AsyncClient(transport=transport, base_url=f"{BASE_URL}/shop", headers=headers) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        assert where(await browser.get(SESSIONS)) == (303, f"/shop{LOGIN}?next=/shop{SESSIONS}")
        page = Page(await browser.get(LOGIN))
        assert page.all("form")[0]["action"] == f"/shop{LOGIN}"
        assert page.all("a")[0]["href"] == "/shop/"
        assert where(await log_in(browser)) == (303, "/shop/")
        async with httpx2.AsyncClient(transport=transport, base_url=f"{BASE_URL}/shop", headers=headers) as other:
            await log_in(other)
            page = Page(await browser.get(SESSIONS))
            *forms, logout = [str(form["action"]) for form in page.all("form")]
            assert all(action.startswith(f"/shop{SESSIONS}/") for action in forms)
            assert logout == f"/shop{LOGOUT}"
            assert where(await browser.post(f"{SESSIONS}/revoke_others")) == (303, f"/shop{SESSIONS}")
        changed = await browser.post(CHANGE, data={"old_password": PASSWORD, "new_password": "battery staple"})
        assert where(changed) == (303, f"/shop{CHANGE}/done")
        assert where(await browser.post(LOGOUT)) == (303, "/shop/")
        assert where(await browser.post(CHANGE)) == (303, f"/shop{LOGIN}")


async def test_deep_mounts_and_at_the_root(sqlite_auth: Auth) -> None:
    pages = sqlite_auth.html_routes()
    deep = Mount("/a", routes=[Mount("/größe b?", routes=pages)])
    app = Starlette(routes=[deep, *pages], middleware=sqlite_auth.middleware)
    async with client(app) as browser:
        assert Page(await browser.get("/a/größe b%3F/login")).all("form")[0]["action"] == (
            "/a/gr%C3%B6%C3%9Fe%20b%3F/login"
        )
        assert Page(await browser.get("/login")).all("form")[0]["action"] == "/login"


async def test_under_protect_the_pages_are_what_they_are(sqlite_auth: Auth) -> None:
    """Login and logout are for everybody, the others for members; an unknown address stays closed."""

    async def all_may(request: Request) -> Response:
        return await home(request)

    await sqlite_auth.users.create("ann", password=PASSWORD)
    app = protect(site(sqlite_auth, Route("/open", public(all_may))))
    async with client(app, headers=BROWSER) as browser:
        assert (await browser.get(LOGIN)).status_code == 200
        assert (await browser.get("/open")).text == "nobody"
        assert where(await browser.get("/")) == (303, f"{LOGIN}?next=/")
        assert where(await browser.get(CHANGE)) == (303, f"{LOGIN}?next={CHANGE}")
        assert where(await log_in(browser, next="/")) == (303, "/")
        assert (await browser.get("/")).text == "ann"
        assert where(await browser.post(LOGOUT)) == (303, "/")


async def test_a_template_of_the_application_takes_the_place_of_ours(sqlite_auth: Auth, tmp_path: Path) -> None:
    """The frame of all pages, or the page of one name alone, which may extend ours."""
    own = tmp_path / "asgiauth"
    own.mkdir()
    (own / "login.html").write_text(
        '{% extends "asgiauth/form.html" %}{% block style %}:root { --asgiauth-accent: #a0f; }{% endblock %}'
        '{% block header %}<header>My shop</header>{% endblock %}{% block footer %}{{ url_for("home") }}{% endblock %}'
    )
    (own / "done.html").write_text("done")
    (own / "brand.css").write_text(":root { --asgiauth-text: #111; }")
    await sqlite_auth.users.create("ann", password=PASSWORD)
    app = site(sqlite_auth, templates=sqlite_auth.templates(tmp_path))
    async with client(app, headers=BROWSER) as browser:
        page = Page(await browser.get(LOGIN))
        assert page.texts("header") == ["My shop"]
        assert "/" in page.texts("body")
        assert ":root { --asgiauth-accent: #a0f; }" in page.texts("style")[0]
        assert set(page.inputs()) == {"csrf_token", "username", "password", "remember"}
        await log_in(browser)
        page = Page(await browser.get(CHANGE))
        assert page.all("header") == []
        assert page.texts("style")[0].endswith(":root { --asgiauth-text: #111; }")
        assert (await browser.get(f"{CHANGE}/done")).text == "done"


async def test_a_page_of_the_application_knows_the_user_and_has_forms(sqlite_auth: Auth, tmp_path: Path) -> None:
    """With `auth.templates`, and with Starlette's own."""
    template = '{{ user.username }}|<a href="{{ url_for("home") }}">{{ name }}</a>{{ csrf_input() }}'
    (tmp_path / "page.html").write_text(template)
    await sqlite_auth.users.create("ann", password=PASSWORD, first_name="<b>")
    ours = sqlite_auth.templates(tmp_path)
    starlettes = Jinja2Templates(tmp_path, context_processors=[sqlite_auth.context_processor])

    async def page(request: Request) -> Response:
        return await ours.render(request, "page.html", {"name": "<b>"}, status_code=201, headers={"X-Own": "1"})

    def other(request: Request) -> Response:
        return starlettes.TemplateResponse(request, "page.html", {"name": "<b>"})

    inside = Mount("/in", routes=[Route("/page", page), Route("/other", other)])
    async with client(site(sqlite_auth, inside), headers=BROWSER) as browser:
        await log_in(browser)
        for path, status, link in (("/in/page", 201, "/"), ("/in/other", 200, f"{BASE_URL}/")):
            answer = await browser.get(path)
            assert answer.status_code == status
            assert Page(answer).all("a") == [{"href": link}]
            assert answer.text.startswith("ann|")
            assert "<b>" not in answer.text
            assert len(Page(answer).hidden()["csrf_token"]) == 64
            assert "content-security-policy" not in answer.headers
        assert (await browser.get("/in/page")).headers["x-own"] == "1"


def test_without_jinja_the_pages_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the JSON routes do not need it."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    auth = make_auth("sqlite:///never-opened.db")
    assert auth.json_routes
    with pytest.raises(MissingDependency, match=r"asgiauth\[html\]"):
        auth.html_routes()


def test_what_are_no_templates_is_refused_when_it_is_given() -> None:
    """DESIGN 3: not when the first page is shown."""
    auth = make_auth("sqlite:///never-opened.db")
    with pytest.raises(ConfigurationError, match=r"auth\.templates\("):
        auth.html_routes("templates")  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["login_url", "login_redirect_url", "logout_redirect_url"])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "home",
        "//evil.example",
        "/\r\nX: y",
        "/\\evil",
        "/%2fevil",
        "https:///x",
        "https://",
        "http://a b/",
        "javascript:x",
    ],
)
def test_D19_an_address_that_would_lead_astray_is_refused(setting: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        make_auth("sqlite:///never-opened.db", **{setting: url})
    assert make_auth("sqlite:///never-opened.db", **{setting: "https://login.example/in?a=b"})


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
            "Safari, macOS",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari, iPhone",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge, Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
            "Chrome, Android",
        ),
        ("curl/8.14.1", "curl"),
        ("x" * 100, "x" * 40),
        ("", ""),
    ],
    ids=lambda value: value[:20],
)
def test_a_device_is_called_what_a_person_would_call_it(agent: str, name: str) -> None:
    assert device_name(agent) == name


async def test_a_session_of_an_unknown_device_can_be_ended_too(sqlite_auth: Auth) -> None:
    await sqlite_auth.users.create("ann", password=PASSWORD)
    async with client(site(sqlite_auth), headers=BROWSER) as browser, client(browser.app) as other:
        del other.headers["user-agent"]
        await log_in(
            other,
        )
        await log_in(browser)
        page = Page(await browser.get(SESSIONS))
        assert "Unknown device" in page.texts("strong")
        assert page.all("button")[0]["aria-label"] == "Log out: Unknown device"
