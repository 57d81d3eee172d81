"""The notice board: what a visitor, a member, an author and an editor may do; started as `make demo` starts it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx2
import pytest

from asgiauth.testing import Client, client

from ..browser.board import serving
from ..http.paging import BROWSER, Page, where
from .conftest import ROOT, fresh


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'board.db'}")
    return fresh("starlette_site")


async def log_in(browser: Client, printed: str, name: str) -> None:
    passwords = dict(re.findall(r"user name: (\w+) +password: (\S+)", printed))
    answer = await browser.post("/auth/login", data={"username": name, "password": passwords[name]})
    assert where(answer) == (303, "/")


async def test_everybody_reads_members_write_and_the_author_takes_down(
    board: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client(board.app, headers=BROWSER) as browser:
        printed = capsys.readouterr().out
        page = Page(await browser.get("/"))
        assert page.texts("h2") == ["Choir", "From the garden"]
        assert page.all("form") == []
        assert where(await browser.get("/write")) == (303, "/auth/login?next=/write")
        assert (await browser.post("/write", data={"title": "x", "text": "x"})).status_code == 401
        assert (await browser.post("/notices/1/take-down")).status_code == 401
        await log_in(browser, printed, "bob")
        assert (await browser.post("/notices/1/take-down")).status_code == 403  # Ann's
        notice = {"title": "<b>Free</b> & 'easy'", "text": "one\n\n<script>two</script>"}
        assert where(await browser.post("/write", data=notice)) == (303, "/")
        page = Page(await browser.get("/"))
        assert page.texts("h2")[0] == notice["title"]
        assert page.all("script") == page.all("b") == []
        takes = [form["action"] for form in page.all("form") if "take-down" in str(form["action"])]
        assert takes == ["/notices/3/take-down", "/notices/2/take-down"]
        assert where(await browser.post("/notices/3/take-down")) == (303, "/")
        assert where(await browser.post("/notices/2/take-down")) == (303, "/")
        assert Page(await browser.get("/")).texts("h2") == ["From the garden"]


def buttons(page: Page) -> list[tuple[str, str]]:
    """What may be done with which notice."""
    links = [link["href"] for link in page.all("a") if "/notices/" in str(link["href"])]
    forms = [form["action"] for form in page.all("form") if "/notices/" in str(form["action"])]
    parts = [str(path).split("/") for path in [*links, *forms]]
    return sorted((number, what) for _, _, number, what in parts)


async def test_B10_4_what_a_member_writes_waits_until_an_editor_publishes_it(
    board: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Authors see, change and take down their own, editors everybody's; what is changed waits again."""
    visitor, eve = (client(board.app, headers=BROWSER) for _ in range(2))
    async with client(board.app, headers=BROWSER) as ann:
        printed = capsys.readouterr().out
        await log_in(ann, printed, "ann")
        await log_in(eve, printed, "eve")
        assert where(await ann.post("/write", data={"title": "Cat", "text": "Grey."})) == (303, "/")
        assert Page(await visitor.get("/")).texts("h2") == ["Choir", "From the garden"]
        assert buttons(Page(await visitor.get("/"))) == []
        page = Page(await ann.get("/"))
        assert page.texts("h2") == ["Cat", "Choir", "From the garden"]
        assert buttons(page) == [("1", "change"), ("1", "take-down"), ("3", "change"), ("3", "take-down")]
        assert "What waits" not in page.texts("a")
        page = Page(await eve.get("/"))
        assert "What waits" in page.texts("a")
        assert buttons(page) == sorted(
            [("3", "publish"), *((number, what) for number in "123" for what in ("change", "take-down"))]
        )
        assert Page(await eve.get("/waiting")).texts("h2") == ["Cat"]
        assert where(await eve.post("/notices/3/publish")) == (303, "/waiting")
        assert Page(await eve.get("/waiting")).texts("h2") == []
        assert Page(await visitor.get("/")).texts("h2") == ["Cat", "Choir", "From the garden"]
        change = Page(await ann.get("/notices/3/change"))
        assert (change.texts("h1"), change.inputs()["title"]["value"]) == (["Change the notice"], "Cat")
        assert where(await ann.post("/notices/3/change", data={"title": "Found", "text": "Grey."})) == (303, "/")
        assert Page(await visitor.get("/")).texts("h2") == ["Choir", "From the garden"]
        assert where(await eve.post("/notices/3/change", data={"title": "Found!", "text": "Grey."})) == (303, "/")
        assert Page(await visitor.get("/")).texts("h2") == ["Found!", "Choir", "From the garden"]
        assert where(await eve.post("/notices/3/take-down")) == (303, "/")
        assert Page(await visitor.get("/")).texts("h2") == ["Choir", "From the garden"]


@pytest.mark.parametrize("path", ["/notices/2/change", "/notices/2/publish", "/notices/2/take-down"])
async def test_A10_2_nobody_else_may_and_a_visitor_does_not_learn_what_there_is(
    board: ModuleType, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    async with client(board.app, headers=BROWSER) as browser:
        gone, huge = path.replace("2", "99"), path.replace("2", "9" * 30)
        for one in (path, gone, huge):
            assert (await browser.post(one)).status_code == 401
        await log_in(browser, capsys.readouterr().out, "ann")
        assert [(await browser.post(one)).status_code for one in (path, gone, huge)] == [403, 404, 404]
        assert (await browser.get("/waiting")).status_code == 403


async def test_who_is_no_editor_any_more_is_none_at_the_next_request(
    board: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client(board.app, headers=BROWSER) as browser:
        await log_in(browser, capsys.readouterr().out, "eve")
        assert (await browser.get("/waiting")).status_code == 200
        await board.auth.groups.remove(await board.auth.users.find("eve"), "editors")
        assert (await browser.get("/waiting")).status_code == 403
        assert buttons(Page(await browser.get("/"))) == []


@pytest.mark.parametrize(("title", "text"), [("", "x"), ("x", " "), ("x" * 101, "x"), ("x", "x" * 5001)])
async def test_what_does_not_fit_is_told_and_not_lost(
    board: ModuleType, capsys: pytest.CaptureFixture[str], title: str, text: str
) -> None:
    async with client(board.app, headers=BROWSER) as browser:
        await log_in(browser, capsys.readouterr().out, "ann")
        answer = await browser.post("/write", data={"title": title, "text": text})
        assert answer.status_code == 422
        page = Page(answer)
        assert page.alert.startswith("A notice needs a title")
        assert page.inputs()["title"]["value"] == title
        assert len(Page(await browser.get("/")).texts("h2")) == 2


async def test_a_wall_without_notices_says_so(board: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    async with client(board.app, headers=BROWSER) as browser:
        printed = capsys.readouterr().out
        for name, number in (("ann", 1), ("bob", 2)):
            await log_in(browser, printed, name)
            await browser.post(f"/notices/{number}/take-down")
        assert "Write the first notice." in Page(await browser.get("/")).texts("a")


def test_it_starts_again_on_the_same_database_and_prints_new_passwords(tmp_path: Path) -> None:
    """With curl: the JSON API is there too."""
    database = f"sqlite+aiosqlite:///{tmp_path / 'board.db'}"
    seen = []
    for _ in range(2):
        with serving(DATABASE_URL=database) as board, httpx2.Client(base_url=board.url, timeout=60) as curl:
            assert set(board.passwords) == {"ann", "bob", "eve"}
            credentials = {"username": "Ann", "password": board.passwords["ann"]}
            answer = curl.post("/api/auth/login", json=credentials)
            assert (answer.status_code, answer.json()["user"]["username"]) == (200, "ann")
            assert "Log out, Ann" in curl.get("/").text
            seen.append((board.passwords["ann"], len(Page(curl.get("/")).texts("h2"))))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] == seen[1][1] == 2


def test_make_demo_starts_it_with_what_the_demo_installs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "$(BIN)/python examples/starlette_site/app.py" in makefile
    assert '".[sqlite,sqlalchemy,html,strength]" --group demo' in makefile


def test_where_the_port_is_taken_make_demo_says_so_and_prints_no_account(tmp_path: Path) -> None:
    """And leaves no database behind: not then, and not after it has served."""
    environment = {"DATABASE_URL": "", "TMPDIR": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        failed = subprocess.run(
            [sys.executable, "examples/starlette_site/app.py"],
            cwd=ROOT,
            env={**os.environ, **environment, "PORT": str(taken.getsockname()[1])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert failed.returncode != 0
    assert (failed.stdout, "ddress already in use" in failed.stderr) == ("", True)
    with serving(**environment):
        assert [path.name for path in tmp_path.glob("*/board.db")] == ["board.db"]
    assert list(tmp_path.iterdir()) == []
