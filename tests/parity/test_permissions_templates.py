"""What templates know of permissions (rows A13)."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from asgiauth import Auth, login_required
from asgiauth.backends import PasswordBackend

from ..conftest import client
from ..http.guarding import cookie_of, site
from .blog import blog, user
from .test_permissions_sources import PermissionsOnly

ATTRIBUTES = (
    "{% if perms.blog %}app {% endif %}{% if perms.blog.add_post %}add {% endif %}"
    "{% if perms.blog.nonexistent %}wrong{% endif %}{% if perms.nonexistent %}wrong{% endif %}"
)
NAMES = (
    "{% if 'blog' in perms %}app {% endif %}{% if 'blog.add_post' in perms %}add {% endif %}"
    "{% if 'blog.nonexistent' in perms %}wrong{% endif %}{% if 'nonexistent' in perms %}wrong{% endif %}"
)


async def shown(auth: Auth, directory: Path, template: str, username: str) -> list[str]:
    """By our templates, and by Starlette's own behind a guard."""
    (directory / "page.html").write_text(template)
    ours = auth.templates(directory)
    environment = Environment(loader=DictLoader({"page.html": template}), autoescape=True)
    plain = Jinja2Templates(env=environment, context_processors=[auth.context_processor])

    async def rendering(request: Request) -> Response:
        return await ours.render(request, "page.html")

    @login_required
    async def guarded(request: Request) -> Response:
        return plain.TemplateResponse(request, "page.html")

    headers = await cookie_of(auth, username)
    async with client(site(auth, Route("/ours", rendering), Route("/guarded", guarded))) as browser:
        return [(await browser.get(path, headers=headers)).text for path in ("/ours", "/guarded")]


@pytest.mark.parametrize("template", [ATTRIBUTES, NAMES], ids=["attributes", "names"])
async def test_A13_2_perms_are_those_of_the_user(sqlite_url: str, tmp_path: Path, template: str) -> None:
    """Held directly, through a group, everywhere; by nobody else."""
    async with blog(sqlite_url, "ann", "bob", "cat") as auth:
        await auth.permissions.grant(await user(auth, "ann"), "blog.add_post")
        await auth.groups.create("writers", ["blog.add_post"])
        await auth.groups.add(await user(auth, "bob"), "writers")
        for username in ("ann", "bob"):
            assert await shown(auth, tmp_path, template, username) == ["app add "] * 2
        assert await shown(auth, tmp_path, template, "cat") == [""] * 2


async def test_A13_2_perms_of_the_anonymous_are_what_sources_grant(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{{ perms.forum.read }} {{ perms.forum.write }} {{ 'blog' in perms }}")
    async with blog(sqlite_url, backends=[PasswordBackend(), PermissionsOnly()]) as auth:
        templates = auth.templates(tmp_path)

        async def view(request: Request) -> Response:
            return await templates.render(request, "page.html")

        async with client(site(auth, Route("/", view))) as browser:
            assert (await browser.get("/")).text == "True False False"


async def test_A13_2_a_page_sees_a_change_at_the_next_request(sqlite_url: str, tmp_path: Path) -> None:
    async with blog(sqlite_url, "ann") as auth:
        ann = await user(auth, "ann")
        assert await shown(auth, tmp_path, ATTRIBUTES, "ann") == [""] * 2
        await auth.permissions.grant(ann, "blog.add_post")
        assert await shown(auth, tmp_path, ATTRIBUTES, "ann") == ["app add "] * 2
        await auth.permissions.revoke(ann, "blog.add_post")
        assert await shown(auth, tmp_path, ATTRIBUTES, "ann") == [""] * 2
