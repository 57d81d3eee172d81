"""`examples/beside_django`: the site and the application, each in its own process, and one browser for the two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from ..parity.django_interpreter import find
from ..server_process import free_port
from .conftest import PASSWORD, ROOT

EXAMPLE = ROOT / "examples" / "beside_django"
PYTHON = sys.executable


@contextmanager
def serving(*command: str, ready: str, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, cwd=EXAMPLE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if ready in line:
                break
        else:
            raise AssertionError(output)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.parametrize("django", list(filter(None, [find()])), ids=lambda _: "django")
def test_A1_8_the_example_as_its_readme_says(django: str, tmp_path: Path) -> None:
    """Logged in and out on either side, and what the one writes the other shows."""
    environment = {
        **os.environ,
        "BESIDE_DATABASE": str(tmp_path / "db.sqlite3"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ASGIAUTH_SUPERUSER_PASSWORD": PASSWORD,
    }
    asgiauth = [str(Path(PYTHON).with_name("asgiauth")), "--app", "app:auth"]
    site, app = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    for command in (
        [django, "manage.py", "migrate"],
        [*asgiauth, "db", "upgrade"],
        [*asgiauth, "createsuperuser", "--noinput", "--username", "root", "--email", ""],
    ):
        subprocess.run(command, cwd=EXAMPLE, env=environment, check=True, capture_output=True, timeout=120)
    uvicorn = [PYTHON, "-m", "uvicorn", "app:app", "--port", app.rpartition(":")[2]]
    runserver = [django, "manage.py", "runserver", "--noreload", site]
    with ExitStack() as stack:
        stack.enter_context(serving(*runserver, ready="Quit the server", environment=environment))
        stack.enter_context(serving(*uvicorn, ready="running on", environment=environment))
        browser = stack.enter_context(httpx2.Client(headers={"Sec-Fetch-Site": "same-origin"}, timeout=60))

        def known() -> tuple[str, str]:
            return browser.get(f"http://{site}/").json()["user"], browser.get(f"http://{app}/").json()["user"]

        def token(page: str) -> str:
            found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(page).text)
            assert found is not None
            return found[1]

        login = f"http://{site}/admin/login/"
        form = {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": token(login), "next": "/admin/"}
        assert browser.post(login, data=form).status_code == 302
        assert known() == ("root", "root")
        assert browser.post(f"http://{app}/notes", json={"text": "from here"}).status_code == 201
        assert "from here" in browser.get(f"http://{site}/admin/notes/note/").text
        assert browser.get(f"http://{app}/").json()["notes"] == ["from here (root)"]
        assert browser.post(f"http://{app}/api/auth/logout").status_code == 204
        assert known() == ("", "")
        credentials = {"username": "root", "password": PASSWORD}
        assert browser.post(f"http://{app}/api/auth/login", json=credentials).status_code == 200
        assert known() == ("root", "root")
        out = {"csrfmiddlewaretoken": token(f"http://{site}/admin/")}
        assert browser.post(f"http://{site}/admin/logout/", data=out).status_code == 200
        assert known() == ("", "")
        assert browser.post(f"http://{app}/notes", json={"text": "nobody"}).status_code == 401
