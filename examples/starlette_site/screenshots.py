"""The pictures in docs/images: of the site as `make demo` shows it, and of a step. Run it: make screenshots"""

import asyncio
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from asgiauth import Auth

from ..custom_feature.pin import Pin

HERE = Path(__file__).parent
IMAGES = HERE.parent.parent / "docs" / "images"
PORT = 8765
SITE = f"http://127.0.0.1:{PORT}"
STEP_PORT = 8766
STEP_SITE = f"http://127.0.0.1:{STEP_PORT}"
PASSWORD = secrets.token_urlsafe(9)
ELSEWHERE = "http://127.0.0.1:8767/"  # of the same host, so the browser sends the cookie along
SIZE = {"width": 720, "height": 500}
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile Safari/604.1"


def main() -> None:
    environment = {**os.environ, "PORT": str(PORT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(HERE / "app.py")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603  our own file
    try:
        password = _password(server)
        IMAGES.mkdir(exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            _log_in(browser.new_page(user_agent=PHONE), password)
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(f"{SITE}/auth/login")
                _take(page, f"login-{scheme}")
                if scheme == "light":
                    _log_in(page, password)
                    _take(page, "board")
                    page.goto(f"{SITE}/auth/sessions")
                    _take(page, "devices")
                    _send_from_elsewhere(page)
                    _take(page, "refused")
            with _step_site():
                _take(_at_the_step(browser), "step")
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _password(server: subprocess.Popen[str]) -> str:
    """Ann's, which is printed before the site listens."""
    line = server.stdout.readline() if server.stdout else ""
    found = re.search(r"user name: ann +password: (\S+)", line)
    if found is None:
        sys.exit(f"the site does not start: {line}")
    while True:
        try:
            httpx2.get(SITE)
        except httpx2.ConnectError:
            time.sleep(0.1)
        else:
            return found[1]


def _log_in(page: Page, password: str) -> None:
    page.goto(f"{SITE}/auth/login")
    page.fill("#username", "ann")
    page.fill("#password", password)
    page.click("main button")
    page.wait_for_url(f"{SITE}/")


def _send_from_elsewhere(page: Page) -> None:
    """A form of another origin: the middleware refuses it."""
    form = f'<form method="post" action="{SITE}/write"><input name="title"><button>Send</button></form>'
    page.route(ELSEWHERE, lambda route: route.fulfill(content_type="text/html", body=form))
    page.goto(ELSEWHERE)
    page.click("button")
    page.wait_for_url(f"{SITE}/write")


@contextmanager
def _step_site() -> Iterator[None]:
    """A site whose one user has a PIN, in a thread of its own."""
    with tempfile.TemporaryDirectory() as directory:
        pin = Pin()
        auth = Auth(
            f"sqlite:///{directory}/step.db",
            secret_keys=[secrets.token_urlsafe(48)],
            base_url=STEP_SITE,
            features=[pin],
            texts={"en": {"field.pin": "PIN"}},
        )

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            async with auth.lifespan(app):
                await auth.create_tables()
                await pin.set(await auth.users.create("ann", password=PASSWORD), "24068931")
                yield

        app = Starlette(
            routes=[Mount("/auth", routes=auth.html_routes())], middleware=auth.middleware, lifespan=lifespan
        )
        server = uvicorn.Server(uvicorn.Config(app, port=STEP_PORT, log_level="warning"))
        thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.1)
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def _at_the_step(browser: Browser) -> Page:
    page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
    page.goto(f"{STEP_SITE}/auth/login")
    page.fill("#username", "ann")
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(f"{STEP_SITE}/auth/login/pin")
    return page


def _take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png", full_page=True)


if __name__ == "__main__":
    main()
