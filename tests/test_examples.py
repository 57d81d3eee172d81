"""The examples, started as a user starts them and used over real HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from .server_process import free_port

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium")


@contextmanager
def serving(module: str, database_url: str) -> Iterator[tuple[str, str]]:
    """Runs an example with uvicorn on a free port; gives its URL and the password that it printed."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--app-dir",
        str(ROOT / "examples/hello"),
        f"{module}:app",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "ASGIAUTH_DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if "running on" in line:
                break
        password = re.search(r"password: (\S+)", output)
        assert password is not None, output
        yield f"http://127.0.0.1:{port}", password[1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def hidden(page: httpx2.Response) -> dict[str, str]:
    """The hidden fields of the form on a page."""
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    assert fields
    return dict(fields)


def test_the_starlette_example_logs_in_by_form_and_by_json(url: str) -> None:
    """Also by a browser that says nothing of where its requests come from: its forms carry the token."""
    with serving("starlette_app", url) as (site, password), httpx2.Client(base_url=site, timeout=60) as browser:
        assert "not logged in" in browser.get("/").text
        sent = browser.get("/members", headers={"Accept": "text/html"})
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/members")
        login = "/login?next=/members"
        wrong = browser.post(login, data={"username": "demo", "password": "wrong", **hidden(browser.get(login))})
        assert "Invalid username or password." in wrong.text
        right = browser.post(login, data={"username": "demo", "password": password, **hidden(wrong)})
        assert (right.status_code, right.headers["location"]) == (303, "/members")
        members = browser.get("/members")
        assert "Welcome, demo" in members.text
        assert browser.post("/logout").status_code == 403
        assert browser.post("/logout", data=hidden(wrong)).status_code == 403  # the login has outdated it
        assert browser.post("/logout", data=hidden(members)).status_code == 303
        assert browser.get("/members").status_code == 401
        credentials = {"username": "DEMO", "password": password}
        assert browser.post("/api/auth/login", json=credentials).json()["detail"]["code"] == "csrf_failed"
        token = {"X-CSRF-Token": browser.get("/api/auth/session").json()["csrf_token"]}
        answer = browser.post("/api/auth/login", json=credentials, headers=token)
        assert answer.json()["user"]["username"] == "demo"
        assert browser.get("/api/auth/session").json()["methods"] == ["password"]


def test_the_fastapi_example_never_shows_a_hash(sqlite_url: str) -> None:
    with serving("fastapi_app", sqlite_url) as (site, password), httpx2.Client(base_url=site, timeout=60) as browser:
        assert browser.get("/").json() == {"logged_in": False}
        assert browser.get("/me").json()["detail"]["code"] == "not_authenticated"
        browser.post("/api/auth/login", json={"username": "demo", "password": password})
        assert browser.get("/me").json()["username"] == "demo"
        assert "argon2" not in browser.get("/me").text
        assert browser.get("/openapi.json").status_code == 200


@pytest.mark.parametrize("browser_path", [CHROMIUM] if CHROMIUM else [])
def test_a_person_logs_in_with_a_browser(browser_path: str, sqlite_url: str) -> None:
    """In headless Chromium: sent to the form, wrong password, right password, members' page, out."""
    from playwright.sync_api import sync_playwright

    with serving("starlette_app", sqlite_url) as (site, password), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"], timeout=120_000)
        page = browser.new_page()
        page.goto(f"{site}/members")
        assert page.url == f"{site}/login?next=/members"
        page.get_by_label("User name").fill("demo")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        assert page.get_by_role("alert").inner_text() == "Invalid username or password."
        page.get_by_label("User name").fill("demo")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{site}/members")
        assert "Welcome, demo" in page.inner_text("body")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{site}/")
        assert "not logged in" in page.inner_text("body")
        browser.close()
