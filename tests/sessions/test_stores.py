"""Each store keeps the contract, on each server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from asgiauth import Auth
from asgiauth.sessions import MemorySessionStore, SessionRecord, SessionStore
from asgiauth.testing import SessionStoreContract


class TestSqlSessionStore(SessionStoreContract):
    @pytest.fixture
    async def store(self, auth: Auth) -> AsyncIterator[SessionStore]:
        users = [await auth.users.create(name, password=None) for name in ("ann", "bob")]
        self.__class__.user_ids = (users[0].id, users[1].id)
        yield auth.sessions.store


class TestMemorySessionStore(SessionStoreContract):
    @pytest.fixture
    def store(self) -> SessionStore:
        return MemorySessionStore()


class Forgetful(MemorySessionStore):
    """A store with a fault."""

    async def load(self, key: bytes) -> SessionRecord | None:
        record = await super().load(key)
        return None if record is None else replace(record, device="")


async def test_the_contract_finds_a_store_that_breaks_it() -> None:
    with pytest.raises(AssertionError, match="is not"):
        await SessionStoreContract().test_a_record_comes_back_as_it_was(Forgetful())
