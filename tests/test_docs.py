"""The documentation is code: every Python block runs, every public name is in the reference."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import typing
from pathlib import Path
from typing import Any

import httpx2
import pytest

import asgiauth
from asgiauth import exceptions
from asgiauth.http.errors import MESSAGES, ErrorCode

from .conftest import client

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNNABLE = [page for page in PAGES if BLOCK.search(page.read_text())]


async def run(page: Path) -> dict[str, Any]:
    """Runs the blocks of a page one after the other, in one namespace; `await` is allowed at the top."""
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(BLOCK.findall(page.read_text()), start=1):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(block, f"{page.relative_to(ROOT)} block {number}", "exec", flags, dont_inherit=True)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            await result
    return names


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(run(page))


async def log_in(app: Any, path: str) -> httpx2.Response:
    """As the page says: refused, logged in, let in."""
    async with app.router.lifespan_context(app), client(app) as browser:
        browser.base_url = httpx2.URL("http://localhost:8000")
        assert (await browser.get(path)).status_code == 401
        credentials = {"username": "ann", "password": "correct horse battery staple"}
        assert (await browser.post("/api/auth/login", json=credentials)).status_code == 200
        return await browser.get(path)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("README.md", "/", "Hello, ann!"),
        ("docs/tutorial/starlette.md", "/account", '"username":"ann"'),
        ("docs/tutorial/fastapi.md", "/me", '"username":"ann"'),
    ],
)
def test_the_applications_of_readme_and_tutorials_log_ann_in(
    name: str, path: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def use() -> httpx2.Response:
        return await log_in((await run(ROOT / name))["app"], path)

    answer = asyncio.run(use())
    assert answer.status_code == 200
    assert expected in answer.text
    assert "argon2" not in answer.text


def test_the_readme_example_has_about_thirty_lines() -> None:
    (block,) = BLOCK.findall((ROOT / "README.md").read_text())
    assert len([line for line in block.splitlines() if line.strip()]) <= 30


def test_every_public_name_is_in_the_reference() -> None:
    reference = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    shown = re.findall(r"^::: asgiauth[\w.]*\.(\w+)$", reference, re.MULTILINE)
    for members in re.findall(r"members: \[(.*)\]", reference):
        shown += members.split(", ")
    assert set(asgiauth.__all__) - set(shown) == {"AsgiAuthError"}  # `asgiauth.exceptions` is shown whole


def test_every_error_code_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "reference" / "json-api.md").read_text()))
    assert set(typing.get_args(ErrorCode)) <= documented
    assert set(MESSAGES) == set(typing.get_args(ErrorCode))


def test_every_error_is_in_the_tree_that_its_module_draws() -> None:
    drawn = set(re.findall(r"[─A-Z][A-Za-z]+", exceptions.__doc__ or ""))
    classes = {name for name in exceptions.__all__ if isinstance(getattr(exceptions, name), type)} - {"Reason"}
    assert {name for name in classes if not any(name in part for part in drawn)} == set()


def test_the_changelog_has_the_version() -> None:
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
