"""What every session store must do, as tests that its author runs.

    class TestMyStore(SessionStoreContract):
        @pytest.fixture
        async def store(self):
            async with connected() as store:
                yield store

It needs pytest with the plugin that anyio brings: `anyio_mode = "auto"`, or the class marked `pytest.mark.anyio`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..sessions import SessionRecord, SessionStore

__all__ = ["SessionStoreContract"]

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
RACERS = 50


class SessionStoreContract:
    """Derive a test class from it, with a fixture `store` that gives an empty, connected one. `user_ids` are two users
    that may have sessions there."""

    user_ids: tuple[Any, Any] = (1, 2)

    def record(self, **changes: Any) -> SessionRecord:
        values: dict[str, Any] = {
            "user_id": self.user_ids[0],
            "backend": "password",
            "methods": ("password", "totp"),
            "stamp": bytes(range(32)),
            "created": NOW,
            "authenticated_at": NOW,
            "last_seen": NOW,
            "expires_at": NOW + timedelta(hours=1),
            "device": "Browser \u00e9",
            "address": "2001:db8::1",
            "data": '{"cart":"\\u0000 \\u20ac"}',
        }
        return SessionRecord(**{**values, **changes})

    def new_key(self) -> bytes:
        """One that was never used; override it for a store with keys of another kind."""
        return secrets.token_bytes(32)

    async def kept(self, store: SessionStore, key: bytes) -> SessionRecord | None:
        """The record, without the row of the user that a store may bring along."""
        record = await store.load(key)
        return None if record is None else replace(record, user_row=None)

    async def added(self, store: SessionStore, **changes: Any) -> tuple[bytes, SessionRecord]:
        key, record = self.new_key(), self.record(**changes)
        await store.create(key, record)
        return key, record

    async def test_a_record_comes_back_as_it_was(self, store: SessionStore) -> None:
        key, record = await self.added(store)
        _same(await self.kept(store, key), record)

    async def test_an_anonymous_one_too(self, store: SessionStore) -> None:
        blank = {"user_id": None, "backend": "", "methods": (), "stamp": None, "authenticated_at": None}
        key, record = await self.added(store, **blank)
        _same(await self.kept(store, key), record)

    async def test_64_kib_of_data_fit(self, store: SessionStore) -> None:
        key, record = await self.added(store, data=json.dumps({"x": "y" * (64 * 1024 - 8)}, separators=(",", ":")))
        _same(await self.kept(store, key), record)

    async def test_what_was_never_there_is_none(self, store: SessionStore) -> None:
        key = self.new_key()
        _same(await store.load(key), None)
        _same(await store.edit(key, lambda record: record), None)
        _same(await store.delete(key), False)
        _same(await store.load(key), None)

    async def test_an_edit_writes_and_returns_what_is_there_now(self, store: SessionStore) -> None:
        key, record = await self.added(store)
        changed = replace(record, data="{}", stamp=b"\1" * 32, last_seen=NOW + timedelta(minutes=1))
        given = await store.edit(key, lambda _: changed)
        _same(given, changed)
        _same(await self.kept(store, key), changed)

    async def test_an_edit_may_move_a_record(self, store: SessionStore) -> None:
        """The old key is worthless from then on."""
        key, record = await self.added(store)
        new_key = self.new_key()
        await store.edit(key, lambda _: record, new_key=new_key)
        _same(await store.load(key), None)
        _same(await self.kept(store, new_key), record)

    async def test_an_edit_may_delete_a_record(self, store: SessionStore) -> None:
        key, _ = await self.added(store)
        _same(await store.edit(key, lambda _: None), None)
        _same(await store.load(key), None)

    async def test_edits_at_the_same_time_do_not_undo_each_other(self, store: SessionStore) -> None:
        key, _ = await self.added(store, data="{}")

        def adding(number: int, record: SessionRecord) -> SessionRecord:
            return replace(record, data=json.dumps({**json.loads(record.data), str(number): number}))

        async def add(number: int) -> None:
            await store.edit(key, lambda record: adding(number, record))

        await asyncio.gather(*(add(number) for number in range(RACERS)))
        record = await store.load(key)
        _same(record and len(json.loads(record.data)), RACERS)

    async def test_what_was_deleted_is_not_made_anew(self, store: SessionStore) -> None:
        """However many edits race with the deletion."""
        key, _ = await self.added(store)
        edits = [store.edit(key, lambda record: record) for _ in range(RACERS)]
        await asyncio.gather(*edits[:25], store.delete(key), *edits[25:])
        _same(await store.load(key), None)

    async def test_a_session_is_deleted_once(self, store: SessionStore) -> None:
        key, _ = await self.added(store)
        _same(sum(await asyncio.gather(*(store.delete(key) for _ in range(RACERS)))), 1)

    async def test_a_touch_changes_what_it_has_seen(self, store: SessionStore) -> None:
        key, record = await self.added(store)
        later = NOW + timedelta(minutes=1)
        await store.touch(key, seen=NOW - timedelta(seconds=1), now=later, expires_at=later)
        _same(await self.kept(store, key), record)
        await store.touch(key, seen=NOW, now=later, expires_at=later)
        _same(await self.kept(store, key), replace(record, last_seen=later, expires_at=later))
        await store.touch(self.new_key(), seen=NOW, now=later, expires_at=later)

    async def test_the_sessions_of_a_user_are_found_and_deleted(self, store: SessionStore) -> None:
        user, other = self.user_ids
        keys = [(await self.added(store))[0] for _ in range(3)]
        others, _ = await self.added(store, user_id=other)
        anonymous, _ = await self.added(store, user_id=None)
        _same({key for key, _ in await store.of_user(user)}, set(keys))
        _same(await store.delete_of_user(user, keep=keys[1]), 2)
        _same([key for key, _ in await store.of_user(user)], [keys[1]])
        _same(await store.delete_of_user(user), 1)
        _same(await store.of_user(user), [])
        for key in (others, anonymous):
            _same(await store.load(key) is None, False)

    async def test_stamps_are_replaced_where_they_are_the_old_ones(self, store: SessionStore) -> None:
        user, other = self.user_ids
        old, older, new = b"\1" * 32, b"\2" * 32, b"\3" * 32
        first, _ = await self.added(store, stamp=old)
        second, _ = await self.added(store, stamp=older)
        foreign, _ = await self.added(store, stamp=old, user_id=other)
        await store.restamp(user, [old], new)
        stamps = [record and record.stamp for record in [await store.load(key) for key in (first, second, foreign)]]
        _same(stamps, [new, older, old])

    async def test_what_has_expired_is_purged(self, store: SessionStore) -> None:
        dead, _ = await self.added(store, expires_at=NOW)
        live, _ = await self.added(store, expires_at=NOW + timedelta(microseconds=1))
        _same(await store.purge(NOW), 1)
        _same((await store.load(dead), await store.load(live) is None), (None, False))


def _same(given: object, expected: object) -> None:
    if given != expected:
        raise AssertionError(f"{_shown(given)} is not {_shown(expected)}")


def _shown(value: object) -> Mapping[str, Any] | object:
    return vars(value) if isinstance(value, SessionRecord) else value
