"""T26: a real caching proxy (nginx) between two people and pages that the application declares public."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth

from ..server_process import free_port
from ..sites import PASSWORD, connected

NGINX = shutil.which("nginx")
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    proxy_temp_path {folder}/proxy; proxy_cache_path {folder}/cache keys_zone=pages:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_set_header Host $http_host;
            proxy_cache pages; proxy_cache_key $request_uri; proxy_cache_valid 404 10m;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
}}
"""
PUBLIC = {"Cache-Control": "public, max-age=600"}


async def greeting(request: Request) -> Response:
    return PlainTextResponse(f"Hello, {request.user}", headers=PUBLIC)


async def basket(request: Request) -> Response:
    request.session["basket"] = str(request.user)
    return PlainTextResponse(f"The basket of {request.user}", headers=PUBLIC)


async def logo(request: Request) -> Response:
    return PlainTextResponse("logo", headers=PUBLIC)


def site(auth: Auth) -> Starlette:
    return Starlette(
        routes=[
            Route("/greeting", greeting),
            Route("/greeting/{rest:path}", greeting),
            Route("/basket", basket),
            Route("/static/logo", logo),
            Mount("/auth", routes=auth.html_routes()),
            Mount("/api/auth", routes=auth.json_routes),
        ],
        middleware=auth.middleware,
    )


async def listening(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@asynccontextmanager
async def served(app: Starlette, port: int) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve())
    try:
        await listening(port)
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def cached(nginx: str, folder: Path, behind: int, port: int) -> AsyncIterator[None]:
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, behind=behind))
    process = await asyncio.create_subprocess_exec(nginx, "-p", str(folder), "-c", str(configuration))
    try:
        await listening(port)
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture(params=[NGINX] if NGINX else [])
async def proxied(request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """The site behind the proxy, with `annabella` and `bartholomew`."""
    behind, port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    async with connected(sqlite_url, base_url=url, skip=("/static",)) as auth:
        for name in ("annabella", "bartholomew"):
            await auth.users.create(name, password=PASSWORD)
        async with served(site(auth), behind), cached(request.param, tmp_path, behind, port):
            yield url


def browser(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60)


async def test_T26_a_caching_proxy_never_gives_one_person_what_another_saw(proxied: str) -> None:
    """Neither bodies nor cookies, whoever comes first, also at names that look like files of everybody's (cache
    deception); while what is outside of the middleware is served from the cache."""
    own = {}
    async with browser(proxied) as visitor, browser(proxied) as ann, browser(proxied) as bob:
        people = {"": visitor, "annabella": ann, "bartholomew": bob}
        for name in ("annabella", "bartholomew"):
            answer = await people[name].post("/api/auth/login", json={"username": name, "password": PASSWORD})
            assert answer.status_code == 200
            own[name] = set(people[name].cookies.values())
        for path in (
            "/greeting",
            "/greeting/style.css",
            "/basket",
            "/auth/sessions",
            "/auth/sessions/x.css",
            "/auth/login",
            "/auth/login/x.css",
            "/api/auth/session",
            "/api/auth/sessions",
        ):
            for name in ("annabella", "", "bartholomew", "annabella", "", "bartholomew"):
                answer = await people[name].get(path)
                others = {"annabella", "bartholomew"} - {name}
                assert not any(other in answer.text for other in others), (path, name)
                cookies = " ".join(answer.headers.get_list("set-cookie"))
                strangers = [token for other in others for token in own[other] if token in cookies + answer.text]
                assert not strangers, (path, name)
                if name and path in ("/greeting", "/basket", "/api/auth/session"):
                    assert name in answer.text
        statuses = [(await person.get("/static/logo")).headers["x-cache"] for person in people.values()]
    assert statuses == ["MISS", "HIT", "HIT"]


async def test_T26_a_new_session_cookie_is_not_kept_by_the_proxy(proxied: str) -> None:
    """A page that starts a visitor's session may be public by the application's own word."""
    async with browser(proxied) as first, browser(proxied) as second:
        tokens = []
        for visitor in (first, second):
            answer = await visitor.get("/basket")
            assert answer.headers["x-cache"] != "HIT"
            tokens.append(visitor.cookies.get("asgiauth"))
    assert None not in tokens
    assert tokens[0] != tokens[1]
