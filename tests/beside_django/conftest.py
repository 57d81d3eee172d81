"""What needs a real Django does not run where there is none; the last lines of the run say so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ..parity.django_interpreter import find
from .driving import Django, django_site

collect_ignore_glob = [] if find() else ["test_*.py"]


@pytest.fixture
async def django(url: str) -> AsyncIterator[Django]:
    """The Django site on the database of the test, which Django has migrated."""
    async with django_site(url) as django:
        await django("migrate")
        yield django


@pytest.fixture
async def sqlite_django(sqlite_url: str) -> AsyncIterator[Django]:
    """The same, on SQLite alone."""
    async with django_site(sqlite_url) as django:
        await django("migrate")
        yield django
