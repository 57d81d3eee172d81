"""What needs a real Django does not run where there is none; the last lines of the run say so."""

from __future__ import annotations

import asyncio
import shutil
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..parity.django_interpreter import find
from .driving import Django

collect_ignore_glob = [] if find() else ["test_*.py"]


@pytest.fixture(scope="session")
def django_process() -> Iterator[Django]:
    """One for all tests: it takes a second to start."""
    django = Django("sqlite:///:memory:")
    yield django
    django.close()


@pytest.fixture(scope="session")
def migrated_file(django_process: Django, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database on SQLite that Django has migrated, to copy."""
    path = tmp_path_factory.mktemp("django") / "migrated.db"
    asyncio.run(_migrate(django_process, f"sqlite:///{path}"))
    return path


async def _migrate(django: Django, url: str) -> None:
    await django("use", url)
    await django("migrate")


@pytest.fixture
async def bare_django(django_process: Django, url: str, migrated_file: Path) -> Django:
    """The Django site on the database of the test, in which it has not done anything yet."""
    await django_process("use", url)
    return django_process


@pytest.fixture
async def django(bare_django: Django, url: str, migrated_file: Path) -> Django:
    """The same, migrated by Django."""
    if url.startswith("sqlite:"):
        await to_thread(shutil.copy, migrated_file, url.removeprefix("sqlite:///"))
    else:
        await bare_django("migrate")
    return bare_django


@pytest.fixture
async def sqlite_django(django_process: Django, sqlite_url: str, migrated_file: Path) -> Django:
    """The same, on SQLite alone."""
    await to_thread(shutil.copy, migrated_file, sqlite_url.removeprefix("sqlite:///"))
    await django_process("use", sqlite_url)
    return django_process
