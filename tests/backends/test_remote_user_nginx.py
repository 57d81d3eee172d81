"""A real proxy (nginx) that asks for the password and says who it was; a client that sends a name of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn

from ..http.test_caching_proxy import listening
from ..server_process import free_port
from ..sites import count
from .proxied import behind_proxy

NGINX = shutil.which("nginx")
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    proxy_temp_path {folder}/proxy;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            auth_basic "site"; auth_basic_user_file {folder}/users;
            proxy_pass http://127.0.0.1:{behind};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Remote-User $remote_user;
            proxy_set_header Authorization "";
        }}
        location /open/ {{
            proxy_pass http://127.0.0.1:{behind}/;
            proxy_set_header Host $http_host;
            proxy_set_header Remote-User "";
        }}
    }}
}}
"""


@asynccontextmanager
async def nginx_before(app: object, executable: str, folder: Path, port: int) -> AsyncIterator[None]:
    behind = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, behind=behind))
    (folder / "users").write_text("ann:{PLAIN}secret\nbob:{PLAIN}secret\n")
    server = uvicorn.Server(
        uvicorn.Config(app, port=behind, lifespan="off", log_level="warning", proxy_headers=False)  # type: ignore[arg-type]
    )
    serving = asyncio.create_task(server.serve())
    process = await asyncio.create_subprocess_exec(executable, "-p", str(folder), "-c", str(configuration))
    try:
        await listening(behind)
        await listening(port)
        yield
    finally:
        process.terminate()
        await process.wait()
        server.should_exit = True
        await serving


@pytest.mark.parametrize("nginx", [NGINX] if NGINX else [])
async def test_A9_7_behind_nginx_only_its_own_word_about_the_user_counts(
    nginx: str, sqlite_url: str, tmp_path: Path
) -> None:
    """`proxy_set_header` takes away what a client sends under the name; `Remote_User` nginx drops by itself."""
    port = free_port()
    async with behind_proxy(sqlite_url, base_url=f"http://127.0.0.1:{port}") as (auth, app):
        forged = [
            ("Remote-User", "root"),
            ("Remote_User", "root"),
            ("REMOTE-USER", "root"),
            ("X-Forwarded-For", "10.0.0.1"),
        ]
        client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        async with nginx_before(app, nginx, tmp_path, port), client as browser:
            assert (await browser.get("/who", headers=forged)).status_code == 401
            for name in ("ann", "bob", "ann"):
                for headers in ([], forged):
                    answer = await browser.get("/who", auth=(name, "secret"), headers=headers)
                    assert answer.json()[0] == name
            assert (await browser.get("/open/who", headers=forged)).json()[0] == ""
    assert await count(sqlite_url, auth.tables.user) == 2
