"""Each store keeps the contract, on each server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from asgiauth import Auth, SessionPolicy
from asgiauth.sessions import DjangoSessionStore, MemorySessionStore, SessionRecord, SessionStore
from asgiauth.testing import SessionStoreContract

from ..sites import connected

DJANGO_KEY = "a key of the Django site, for its tests alone, 0123456789"


class TestSqlSessionStore(SessionStoreContract):
    @pytest.fixture
    async def store(self, auth: Auth) -> AsyncIterator[SessionStore]:
        users = [await auth.users.create(name, password=None) for name in ("ann", "bob")]
        self.__class__.user_ids = (users[0].id, users[1].id)
        yield auth.sessions.store


class TestDjangoSessionStore(SessionStoreContract):
    """But for two promises, which Django's own store does not make."""

    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[SessionStore]:
        store = DjangoSessionStore(secret_key=DJANGO_KEY)
        async with connected(url, sessions=SessionPolicy(store=store)) as auth:
            users = [await auth.users.create(name, password=None) for name in ("ann", "bob")]
            self.__class__.user_ids = (users[0].id, users[1].id)
            yield auth.sessions.store

    def new_key(self) -> bytes:
        return DjangoSessionStore(secret_key=DJANGO_KEY).new_token().encode()

    async def test_a_touch_changes_what_it_has_seen(self, store: SessionStore) -> None:
        """It changes nothing: Django notes when a session was changed, and not when it was used."""
        key, record = await self.added(store)
        await store.touch(key, seen=record.last_seen, now=record.expires_at, expires_at=record.expires_at)
        assert await self.kept(store, key) == record

    async def test_stamps_are_replaced_where_they_are_the_old_ones(self, store: SessionStore) -> None:
        """None are: a stronger hash logs out the other browsers, as with Django alone."""
        key, record = await self.added(store)
        assert record.stamp is not None
        await store.restamp(record.user_id, [record.stamp], b"\3" * 32)
        assert await self.kept(store, key) == record


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
