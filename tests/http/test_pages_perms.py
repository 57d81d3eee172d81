"""`perms` and `render_password_as_hash` in the templates of an application, and what they say when they cannot tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2 import DictLoader, Environment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates

from asgiauth import Auth, login_required
from asgiauth.exceptions import ConfigurationError
from asgiauth.guards import Guard, authenticated
from asgiauth.http.perms import PermissionSet, Perms
from asgiauth.testing import Client, client

from ..conftest import make_auth
from .paging import BROWSER, PASSWORD, log_in, site

ASKED = (
    "{{ 'blog.add_post' in perms }} {{ perms.blog.add_post }} {{ perms['blog']['add_post'] }} "
    "{{ 'blog' in perms }} {{ 1 if perms.blog else 0 }}"
)
ALL, NONE = "True True True True 1", "False False False False 0"
POSTS = PermissionSet(frozenset({"blog.add_post", "blogs.view_blog", "forum.close.thread"}))


def rendered(held: PermissionSet | None, template: str) -> str:
    return Environment(autoescape=True).from_string(template).render(perms=Perms(held))


def test_A13_2_perms_knows_permissions_and_their_applications() -> None:
    perms = Perms(POSTS)
    assert "blog" in perms
    assert "blog.add_post" in perms
    assert "forum.close.thread" in perms
    assert "nonexistent" not in perms
    assert "blog.nonexistent" not in perms
    assert "add_post" not in perms
    assert rendered(POSTS, "{{ perms.blog.add_post }} {{ perms.blog.view_blog }} {{ perms.blogs.view_blog }}") == (
        "True False True"
    )
    assert rendered(POSTS, "{% if perms.blog %}yes{% endif %}{% if perms.news %}no{% endif %}") == "yes"
    assert rendered(PermissionSet(everything=True), ASKED) == ALL


def test_A13_2_an_application_may_be_called_what_an_attribute_is() -> None:
    held = PermissionSet(frozenset({"names.everything", "held.app"}))
    assert rendered(held, "{{ perms.names.everything }} {{ perms.held.app }} {{ perms.get.app }}") == "True True False"


def test_A13_2_perms_cannot_be_iterated() -> None:
    with pytest.raises(TypeError, match=r"cannot be iterated: ask for a permission, such as perms\.blog\.add_post"):
        iter(Perms(POSTS))
    with pytest.raises(TypeError, match="cannot be iterated"):
        rendered(POSTS, "{% for name in perms.blog %}{{ name }}{% endfor %}")


def test_A13_2_what_is_no_name_is_refused() -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("not compared with anything")

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(TypeError, match="is no permission"):
        _ = Equal() in Perms(POSTS)
    with pytest.raises(TypeError, match="not iterable"):
        _ = Equal() in Perms(POSTS)["blog"]  # type: ignore[operator]


def test_A13_2_perms_shows_whose_it_is() -> None:
    assert repr(Perms(PermissionSet(everything=True))) == ("Perms(PermissionSet(names=frozenset(), everything=True))")
    assert repr(Perms(POSTS)["blog"]).endswith(", 'blog')")


@pytest.mark.parametrize(
    "template", ["{{ perms.blog }}", "{{ 'blog.add_post' in perms }}", "{{ perms.blog.add_post }}"]
)
def test_A13_2_perms_that_are_not_loaded_raise_and_are_never_false(template: str) -> None:
    with pytest.raises(ConfigurationError, match=r"await request\.auth\.load_permissions\(\)"):
        rendered(None, template)
    assert rendered(None, "{% if user %}{{ perms.blog }}{% endif %}nothing asked") == "nothing asked"


@pytest.fixture
def asking(tmp_path: Path) -> Callable[[Auth], Starlette]:
    """`/ours` is of `auth.templates`; the others of Starlette's own, without and behind a guard of each kind."""
    (tmp_path / "asked.html").write_text(ASKED)

    def application(auth: Auth) -> Starlette:
        ours = auth.templates(tmp_path)
        environment = Environment(loader=DictLoader({"asked.html": ASKED}), autoescape=True)
        plain = Jinja2Templates(env=environment, context_processors=[auth.context_processor])

        async def rendering(request: Request) -> Response:
            return await ours.render(request, "asked.html")

        async def unloaded(request: Request) -> Response:
            return plain.TemplateResponse(request, "asked.html")

        async def loaded(request: Request) -> Response:
            await request.auth.load_permissions()
            await request.auth.load_permissions()
            return plain.TemplateResponse(request, "asked.html")

        @login_required
        def guarded(request: Request) -> Response:
            return plain.TemplateResponse(request, "asked.html")

        @login_required
        async def left(request: Request) -> Response:
            await request.auth.logout()
            return plain.TemplateResponse(request, "asked.html")

        routes = [
            Route("/ours", rendering),
            Route("/unloaded", unloaded),
            Route("/loaded", loaded),
            Route("/guarded", guarded),
            Route("/left", left),
            Mount("/mount", routes=[Route("/guarded", unloaded)], middleware=[Guard(authenticated)]),
        ]
        return site(auth, *routes)

    return application


@pytest.fixture
async def browser(sqlite_auth: Auth, asking: Callable[[Auth], Starlette]) -> AsyncIterator[Client]:
    await sqlite_auth.users.create("ann", password=PASSWORD)
    await sqlite_auth.users.create("sue", password=PASSWORD, is_superuser=True)
    async with client(asking(sqlite_auth), headers=BROWSER) as browser:
        yield browser


@pytest.mark.parametrize("path", ["/ours", "/loaded", "/guarded", "/mount/guarded"])
async def test_A13_2_an_active_superuser_may_everything_and_another_user_nothing_yet(
    browser: Client, path: str
) -> None:
    for name, expected in (("sue", ALL), ("ann", NONE)):
        await log_in(browser, name)
        assert (await browser.get(path)).text == expected


async def test_A13_2_the_anonymous_may_nothing(browser: Client) -> None:
    for path in ("/ours", "/loaded"):
        assert (await browser.get(path)).text == NONE


async def test_A13_2_without_a_guard_starlettes_own_templates_raise(browser: Client) -> None:
    """For a superuser too, so that it is seen at once."""
    for name in ("", "ann", "sue"):
        if name:
            await log_in(browser, name)
        with pytest.raises(ConfigurationError, match="use a guard"):
            await browser.get("/unloaded")


@pytest.mark.parametrize("kind", ["view", "mount"])
async def test_A13_2_a_guard_does_not_look_up_what_no_template_of_starlettes_shows(
    sqlite_auth: Auth, kind: str
) -> None:
    """Until `auth.context_processor` is taken: by a view, a request raises, and the next one is served."""
    await sqlite_auth.users.create("sue", password=PASSWORD, is_superuser=True)
    environment = Environment(autoescape=True)
    template = environment.from_string(ASKED)

    async def view(request: Request) -> Response:
        return Response(template.render(sqlite_auth.context_processor(request)))

    route = (
        Route("/shown/", login_required(view))
        if kind == "view"
        else Mount("/shown", routes=[Route("/", view)], middleware=[Guard(authenticated)])
    )
    async with client(site(sqlite_auth, route), headers=BROWSER) as browser:
        await log_in(browser, "sue")
        with pytest.raises(ConfigurationError, match=r"await request\.auth\.load_permissions\(\)"):
            await browser.get("/shown/")
        assert (await browser.get("/shown/")).text == ALL


async def test_A13_2_what_was_loaded_for_one_user_does_not_hold_for_the_next(browser: Client) -> None:
    await log_in(browser, "sue")
    with pytest.raises(ConfigurationError, match="nobody has looked"):
        await browser.get("/left")


async def test_A13_1_templates_without_the_middleware_name_the_cure(
    sqlite_url: str, asking: Callable[[Auth], Starlette]
) -> None:
    app = asking(make_auth(sqlite_url))
    app.user_middleware.clear()
    async with client(app, base_url="https://site.example") as browser:
        for path in ("/ours", "/unloaded"):
            with pytest.raises(ConfigurationError, match=r"add auth\.middleware"):
                await browser.get(path)


async def shown(auth: Auth, tmp_path: Path, encoded: Any) -> str:
    """What `render_password_as_hash` makes of a stored hash."""
    (tmp_path / "hash.html").write_text("{{ render_password_as_hash(encoded) }}")
    templates = auth.templates(tmp_path)

    async def view(request: Request) -> Response:
        return await templates.render(request, "hash.html", {"encoded": encoded})

    async with client(site(auth, Route("/hash", view))) as browser:
        return (await browser.get("/hash")).text


async def test_A13_3_a_hash_is_shown_with_its_cost_and_little_else(sqlite_auth: Auth, tmp_path: Path) -> None:
    salt, digest = "a6Pucb1qSFcD", "WmCkn9Hqidj48NVe5x0FEM6A9YiOqQcl/83m2Z5udm0="
    assert await shown(sqlite_auth, tmp_path, f"pbkdf2_sha256$100000${salt}${digest}") == (
        "<p><strong>algorithm</strong>: <bdi>pbkdf2_sha256</bdi> <strong>iterations</strong>: <bdi>100000</bdi> "
        f"<strong>salt</strong>: <bdi>a6Pucb******</bdi> <strong>hash</strong>: <bdi>WmCkn9{'*' * 38}</bdi></p>"
    )


async def test_A13_3_the_costs_of_argon2_have_words(sqlite_auth: Auth, tmp_path: Path) -> None:
    encoded = await sqlite_auth.passwords.hash(PASSWORD)
    text = await shown(sqlite_auth, tmp_path, encoded)
    for part in ("variety</strong>: <bdi>argon2id<", "memory cost</strong>: <bdi>8<", "time cost</strong>: <bdi>1<"):
        assert part in text
    assert not {part for part in encoded.split("$")[-2:] if part in text}


@pytest.mark.parametrize("encoded", ["", None, "!", "!noise"])
async def test_A13_3_no_password_is_said_so(sqlite_auth: Auth, tmp_path: Path, encoded: Any) -> None:
    assert await shown(sqlite_auth, tmp_path, encoded) == "<p><strong>No password set.</strong></p>"


@pytest.mark.parametrize("encoded", ["pbkdf2_sh", "md5$password", "invalid", "testhash$password", "<b>$x"])
async def test_A13_3_a_hash_of_no_known_kind_is_said_so(sqlite_auth: Auth, tmp_path: Path, encoded: str) -> None:
    expected = "<p><strong>Invalid password format or unknown hashing algorithm.</strong></p>"
    assert await shown(sqlite_auth, tmp_path, encoded) == expected


async def test_A13_3_the_words_are_those_of_the_language(sqlite_url: str, tmp_path: Path) -> None:
    german = {"hash.unusable": "Kein Passwort.", "hash.algorithm": "Verfahren", "hash.memory_cost": "Speicher"}
    auth = make_auth(sqlite_url, texts={"de": german}, locale="de")
    assert await shown(auth, tmp_path, "") == "<p><strong>Kein Passwort.</strong></p>"
    text = await shown(auth, tmp_path, await auth.passwords.hash(PASSWORD))
    assert "<strong>Verfahren</strong>: <bdi>argon2</bdi>" in text
    assert "<strong>Speicher</strong>: <bdi>8</bdi>" in text
