"""`asgiauth init` in an empty directory, then the two commands that it prints: a running site with a login."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx2
import pytest

from ..server_process import free_port
from .conftest import GOOD, Project

FILES = {".env", ".gitignore", "README.md", "app.py", "pyproject.toml", "requirements.txt"}


def test_init_and_the_two_commands_that_it_prints_are_a_site_with_a_login(project: Project) -> None:
    """The first would install what runs here already, so only its pins are looked at; the second is run."""
    done = project.process("init")
    assert done.returncode == 0
    install, start = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
    assert (install, start) == ("python -m pip install -r requirements.txt", "python app.py")
    version = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
    assert f"asgiauth[cli,html,migrations,sqlite]~={version}" in (project.directory / "requirements.txt").read_text()

    site = f"http://127.0.0.1:{free_port()}"
    env = {**project.env, "ASGIAUTH_BASE_URL": site}
    command = [sys.executable, *start.split()[1:]]
    process = subprocess.Popen(
        command, cwd=project.directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            output += line
            if "running on" in line:
                break
        password = re.search(r"user name: admin   password: (\S+)", output)
        assert password is not None, output
        with httpx2.Client(base_url=site, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as browser:
            assert browser.get("/").status_code == 200
            sent = browser.get("/members", headers={"Accept": "text/html"})
            assert (sent.status_code, sent.headers["location"]) == (303, "/auth/login?next=/members")
            assert browser.get(sent.headers["location"]).status_code == 200
            form = {"username": "admin", "password": password[1], "next": "/members"}
            right = browser.post("/auth/login", data=form)
            assert (right.status_code, right.headers["location"]) == (303, "/members")
            members = browser.get("/members").text
            assert "Welcome, admin" in members
            token = re.search(r'action="/auth/logout">.*name="csrf_token" value="([^"]+)"', members)
            assert token is not None
            del browser.headers["Sec-Fetch-Site"]  # an old browser, for which the form has its token
            assert browser.post("/auth/logout", data={"csrf_token": token[1]}).headers["location"] == "/"
            assert browser.get("/members").status_code == 401
            browser.headers["Sec-Fetch-Site"] = "same-origin"
            browser.post("/auth/login", data=form)
            assert browser.get("/members").status_code == 200
            assert stat.S_IMODE((project.directory / "app.db").stat().st_mode) == 0o600

            assert project.process("revoke", "admin").stdout == "Ended 1 session of 'admin'.\n"
            assert browser.get("/members").status_code == 401
        created = project.process(
            "createsuperuser", "--noinput", "--username", "ann", "--email", "", ASGIAUTH_SUPERUSER_PASSWORD=GOOD
        )
        assert created.returncode == 0
        with httpx2.Client(base_url=site, timeout=60) as program:
            answer = program.post("/api/auth/login", json={"username": "ann", "password": GOOD})
            assert answer.status_code == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_what_the_starter_says_of_a_server_is_true_of_an_empty_database(project: Project, url: str) -> None:
    """Each line of its README, in that order, on each server."""
    assert project.process("init").returncode == 0
    readme = (project.directory / "README.md").read_text()
    section = readme[readme.index("On a server") :]
    upgrade, create, serve = re.findall("^    (.*?)(?:  +#.*)?$", section, re.MULTILINE)
    assert (upgrade, create, serve) == ("asgiauth db upgrade", "asgiauth createsuperuser", "uvicorn app:app")
    env = {"ASGIAUTH_DATABASE_URL": url, "ASGIAUTH_BASE_URL": "https://shop.example"}
    assert project.process(*upgrade.split()[1:], **env).returncode == 0
    created = project.process(
        *create.split()[1:], "--noinput", "--username", "ann", "--email", "", ASGIAUTH_SUPERUSER_PASSWORD=GOOD, **env
    )
    assert created.returncode == 0, created.stderr
    assert "ann" in project.process("users", **env).stdout
    pinned = (project.directory / "requirements.txt").read_text()
    assert all(extra in pinned for extra in ("cli", "migrations", "uvicorn"))


def test_the_starter_passes_its_own_checks(project: Project) -> None:
    """Strictly; for a deployment only the plain http address is in the way."""
    assert project.process("init").returncode == 0
    assert project.process("routes", "--strict", "app:app").returncode == 0
    assert project.process("check", "app:app").stdout == "Nothing is wrong.\n"
    assert project.process("db", "upgrade").returncode == 0
    deployed = project.process("check", "--deploy", "app:app")
    assert re.findall("^error (.*)$", deployed.stdout, re.MULTILINE) == ["base_url_not_https"]
    deployed = project.process("check", "--deploy", "app:app", ASGIAUTH_BASE_URL="https://shop.example")
    assert deployed.returncode == 0


def test_each_starter_has_a_key_of_its_own_which_only_its_owner_can_read(project: Project) -> None:
    for name in ("one", "sub/two"):
        result = project.run("init", name)
        assert result.exit_code == 0
        assert {path.name for path in (project.directory / name).iterdir()} == FILES
    first, second = (project.directory / name / ".env" for name in ("one", "sub/two"))
    assert first.read_text() != second.read_text()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    key = re.search(r"SECRET_KEYS=(\S{64})\n", first.read_text())
    assert key is not None
    others = (path.read_text() for path in first.parent.iterdir() if path != first)
    assert not any(key[1] in text for text in others)


@pytest.mark.parametrize("name", sorted(FILES))
def test_init_overwrites_nothing(project: Project, name: str) -> None:
    (project.directory / name).write_text("mine")
    result = project.run("init")
    assert (result.exit_code, f"{name} is there already" in result.stderr) == (1, True)
    assert [path.name for path in project.directory.iterdir()] == [name]
    assert (project.directory / name).read_text() == "mine"


def test_init_in_a_directory_that_is_a_file_is_exit_code_2(project: Project) -> None:
    (project.directory / "file").write_text("mine")
    assert project.run("init", "file").exit_code == 2
    below = project.run("init", "file/sub")
    assert (below.exit_code, below.stderr) == (
        2,
        "Error: file/sub cannot be written (Not a directory): name another directory\n",
    )
