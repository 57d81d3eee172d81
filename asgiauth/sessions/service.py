"""Opening, finding and ending sessions, whatever store keeps them.

The browser has a token of 32 random bytes, a store its SHA-256: a copy of it logs nobody in (D-10). A session is bound
to its user's password hash and epoch by a stamp, an HMAC under a key of its own: when either changes, by whatever hand,
the session is over at its next request. A store may have other ways, to share its sessions (`scheme.py`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol

from sqlalchemy import bindparam, delete, func, select, update

from ..db import Database, Row, Unit
from ..db.tables import Tables
from ..events import EventBus, SessionRevoked, SessionsRevoked
from ..exceptions import Conflict, Unavailable
from ..signing import Signing
from ..users import User
from ..users.permission_version import PermissionVersions
from .policy import SessionPolicy
from .record import EXPIRY, LONGEST_EXPIRY, SessionInfo, SessionRecord
from .scheme import EPOCH, OwnScheme, SessionScheme
from .store import SessionStore

__all__ = ["CurrentSession", "FoundSession", "Sessions", "UserState"]

logger = logging.getLogger("asgiauth")

_MUST_CHANGE, _CHANGED_AT = "asgiauth_must_change", "asgiauth_changed_at"


class FoundSession(NamedTuple):
    """A live session; `user_row` is None for an anonymous visitor's."""

    key: bytes
    record: SessionRecord
    user_row: Row | None


class UserState(NamedTuple):
    """What is known of a user beside the user's own row."""

    epoch: int = 0
    must_change_password: bool = False
    password_changed_at: datetime | None = None


class CurrentSession(Protocol):
    """The session of the request that is being answered, as far as this layer must know it."""

    key: bytes | None
    record: SessionRecord | None

    def can_move(self) -> bool:
        """Whether a new token could still reach the browser."""

    def moved(self, token: str, record: SessionRecord) -> None:
        """The session has another token now."""


class Sessions:
    """`auth.sessions`: the sessions of one `Auth`."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        signing: Signing,
        policy: SessionPolicy,
        events: EventBus,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        bind = getattr(policy.store, "bound_to", None)
        self.store: SessionStore = policy.store if bind is None else bind(database, tables)
        self._own = OwnScheme(signing)
        self.scheme: SessionScheme = self._own
        if isinstance(self.store, SessionScheme):
            self.scheme = self.store
        self.is_read_only = database.read_only and hasattr(self.store, "bound_to")
        """Sessions are where nothing may be written: none can begin, change or end here."""
        self.current: ContextVar[CurrentSession | None] = ContextVar("asgiauth_session", default=None)
        self._database = database
        self._state, self._pending = tables.user_state, tables.pending_login
        self._signing = signing
        self._events = events
        self._clock = clock
        user, state = tables.user, tables.user_state
        self._user_row = database.prepare(
            select(
                user,
                func.coalesce(state.c.epoch, 0).label(EPOCH),
                *PermissionVersions(tables).columns,
                state.c.must_change_password.label(_MUST_CHANGE),
                state.c.password_changed_at.label(_CHANGED_AT),
            )
            .select_from(user.outerjoin(state, state.c.user_id == user.c.id))
            .where(user.c.id == bindparam("id", type_=user.c.id.type))
        )
        known = [state.c[name] for name in UserState._fields]
        self._state_row = database.prepare(
            select(*known).where(state.c.user_id == bindparam("id", type_=state.c.user_id.type))
        )

    async def list(self, user: User) -> Sequence[SessionInfo]:
        """The live sessions of a user, the most recently used first."""
        row = await self._database.fetch_one(self._user_row, id=user.id)
        found = await self.store.of_user(user.id) if row is not None else []
        now, current = self._clock(), self.current.get()
        live = [
            record.info(self.scheme.public_id(key), current=current is not None and current.key == key)
            for key, record in found
            if now < record.expires_at and row is not None and self.scheme.is_bound(record, row)
        ]
        return sorted(live, key=lambda session: session.last_seen, reverse=True)

    async def revoke(self, session_id: str) -> bool:
        """Ends the session with this public id, at once and everywhere; whether there was one."""
        key = await self.scheme.key_with(session_id)
        if key is None:
            return False

        async def work(unit: Unit) -> bool:
            ended = await self.store.delete(key)
            if ended:
                await self._events.publish(SessionRevoked(at=self._clock(), session_id=session_id))
            return ended

        return await self._database.within(work)

    async def revoke_all(self, user: User, *, keep: SessionInfo | None = None) -> int:
        """Ends every session of a user, except `keep`; how many. Logins that wait for a step end, too."""
        kept = await self.scheme.key_with(keep.id) if keep else None
        # what reads all sessions there are takes a while, and no unit of work waits for it
        ended = await self.store.delete_of_user(user.id, keep=kept) if self.scheme.is_shared else 0

        async def work(unit: Unit) -> int:
            await unit.changed(delete(self._pending).where(self._pending.c.user_id == user.id))
            count = ended if self.scheme.is_shared else await self.store.delete_of_user(user.id, keep=kept)
            await self._events.publish(SessionsRevoked(at=self._clock(), user=user, count=count))
            return count

        return await self._database.within(work)

    async def purge_expired(self) -> int:
        """Deletes the sessions whose time is up, which are worthless anyway; how many."""
        return await self.store.purge(self._clock())

    async def bump_epoch(self, user: User) -> None:
        """Voids every session of the user and every login that waits for a step, in any store, at its next request;
        the one of this very request stays. For features: when a factor, an address or a way to recover changes."""

        async def work(unit: Unit) -> None:
            raised = update(self._state).where(self._state.c.user_id == user.id).values(epoch=self._state.c.epoch + 1)
            if not await unit.changed(raised):
                try:
                    async with self._database.unit():
                        await unit.insert(self._state, {"user_id": user.id, "epoch": 1})
                except Conflict:  # another one was first
                    await unit.changed(raised)
            await unit.changed(delete(self._pending).where(self._pending.c.user_id == user.id))
            await self.outdate(unit, user.id)

        await self._database.atomic(work)

    async def find(self, token: str) -> FoundSession | None:
        """The session of a token, with the row of its user: one query with the SQL store, one call and one query with
        another. None when it is unknown, expired, or its user's password or epoch has changed since."""
        if not self.scheme.is_token(token):
            return None
        key = self.scheme.key_of(token)
        record = await self.store.load(key)
        if record is None or self._clock() >= record.expires_at:
            return None
        if record.user_id is None:
            return FoundSession(key, record, None)
        row = record.user_row or await self._database.fetch_one(self._user_row, id=record.user_id)
        return FoundSession(key, record, row) if row is not None and self.scheme.is_bound(record, row) else None

    async def touch(self, found: FoundSession) -> SessionRecord:
        """Notes that the session is in use, at most once per `touch_every`, however many requests ask at once. Where
        that fails the request goes on: who it comes from is known."""
        if self.is_read_only:
            return found.record
        if self.scheme.lifetime is not None:
            return await self._renewed(found)
        now, key, record = self._clock(), found.key, found.record
        if now - record.last_seen < self.policy.touch_every:
            return record
        expires = record.expires_at if _custom_expiry(record) else self._expiry(record, now)
        try:
            await self.store.touch(key, seen=record.last_seen, now=now, expires_at=expires)
        except Unavailable as error:
            logger.warning("a session's last use could not be noted: %s", error)
            return record
        return replace(record, last_seen=now, expires_at=expires)

    async def _renewed(self, found: FoundSession) -> SessionRecord:
        """Carries a session that an older key has signed over to the newest, before the older one is dropped."""
        key, record, row = found
        stamp = record.stamp if row is None else self._bound(record, row).stamp
        if stamp == record.stamp:
            return record

        def renew(stored: SessionRecord) -> SessionRecord:
            return replace(stored, stamp=stamp) if stored.stamp == record.stamp else stored

        try:
            await self.store.edit(key, renew)
        except Unavailable as error:
            logger.warning("a session could not be signed anew: %s", error)
        return record

    def check_writable(self) -> None:
        """For what costs something before it begins or ends a session. Raises `ReadOnly`."""
        if self.is_read_only:
            self._database.check_writable()

    def public_id(self, token: str) -> str:
        return self.scheme.public_id(self.scheme.key_of(token))

    def now(self) -> datetime:
        return self._clock()

    def anonymous(self, *, device: str = "", address: str = "") -> SessionRecord:
        """A visitor's session, not stored yet."""
        now = self._clock()
        idle, _ = self.policy.limits(remember=False)
        return SessionRecord(created=now, last_seen=now, expires_at=now + idle, device=device, address=address)

    def saved(self, record: SessionRecord) -> SessionRecord:
        """The record as it is when its data is written now."""
        now = self._clock()
        return replace(record, last_seen=now, expires_at=self._expiry(record, now))

    def expires_at(self, record: SessionRecord, custom: Any) -> datetime:
        """When a session that is changed now will end by itself; `custom` is what `set_expiry` left in its data."""
        return self._until(record, self._clock(), _valid_expiry(custom))

    def moves_cookie(self, record: SessionRecord) -> bool:
        """Whether the browser must be told how long to keep the cookie whenever the session has changed."""
        return _custom_expiry(record) is not None or (self.scheme.lifetime is not None and record.remember)

    def cookie_age(self, record: SessionRecord) -> int | None:
        """Seconds that the browser shall keep the cookie; None: until it closes."""
        custom = _custom_expiry(record)
        if custom is None:
            longest = self.scheme.lifetime or self.policy.remember_absolute
            return int(longest.total_seconds()) if record.remember else None
        return max(0, int((record.expires_at - self._clock()).total_seconds())) if custom else None

    async def prepare(
        self, unit: Unit, user_id: Any, password: str, record: SessionRecord
    ) -> tuple[str, SessionRecord, UserState]:
        """A fresh session under a fresh token, not stored yet, for a user whose stored hash is `password`; and what is
        known beside of that user."""
        now = self._clock()
        state = await self._state_of(unit, user_id)
        opened = replace(record, created=now, authenticated_at=now, last_seen=now, user_row=None)
        opened = self.scheme.bound(opened, user_id, state.epoch, password)
        return self.scheme.new_token(), replace(opened, expires_at=self._expiry(opened, now)), state

    async def open(self, token: str, record: SessionRecord) -> SessionRecord:
        """Stores a session that was prepared; the user's least used ones end where there are too many."""
        record = replace(record, expires_at=self._expiry(record, record.last_seen))
        key = self.scheme.key_of(token)
        await self.store.create(key, record)
        await self._keep_within_limit(record.user_id, key)
        return record

    async def outdate(self, unit: Unit, user_id: Any) -> None:
        """Ends the user's sessions because the password or the epoch has changed. The session of the request that
        changes it stays, under a fresh token (Django row A7.9)."""
        current = self.current.get()
        key = _key_of_user(current, user_id)
        keep = await self._carry_over(unit, current, key, user_id) if current and key else None
        await self.end_others(user_id, keep)

    async def end_all(self, unit: Unit, user_id: Any) -> None:
        """Ends every session of a user, and every login that waits for a step."""
        await unit.changed(delete(self._pending).where(self._pending.c.user_id == user_id))
        if self.scheme.is_shared:  # once that is durable, since it takes a while: until then the user is refused
            await self._database.after_commit(partial(self._forget, user_id))
        else:
            await self.store.delete_of_user(user_id)

    async def end_others(self, user_id: Any, keep: bytes | None) -> None:
        """Ends every session of a user but the one of this key, because the password or the epoch has changed. Those
        that are shared are not looked for: with another password, nobody honours them."""
        if not self.scheme.is_shared:
            await self.store.delete_of_user(user_id, keep=keep)

    async def _forget(self, user_id: Any) -> None:
        await self.store.delete_of_user(user_id)

    async def restamp(self, unit: Unit, user_id: Any, old: str, new: str) -> None:
        """Carries the live sessions of a user over to a stronger hash of the same password. Those of an older one stay
        behind, and so stay over. Of shared ones, only that of the request."""
        epoch = (await self._state_of(unit, user_id)).epoch
        if not self.scheme.is_shared:
            stamps = self._own.stamps(user_id, epoch, old)
            await self.store.restamp(user_id, stamps, self._own.stamps(user_id, epoch, new)[0])
        elif key := _key_of_user(self.current.get(), user_id):
            before = {"id": user_id, EPOCH: epoch, "password": old}

            def carried(record: SessionRecord) -> SessionRecord:
                still = self.scheme.is_bound(record, before)
                return self.scheme.bound(record, user_id, epoch, new) if still else record

            await self.store.edit(key, carried)

    def is_stamped(self, record: Any, row: Row) -> bool:
        """Whether a waiting login still belongs to the user as the user is now."""
        return self._own.is_bound(record, row)

    async def user_row(self, user_id: Any) -> Row | None:
        """The user's row as it is now, with the epoch beside it."""
        return await self._database.fetch_one(self._user_row, id=user_id)

    def state_of(self, row: Row) -> UserState:
        """What a row of `user_row` holds beside the user's own columns."""
        return UserState(row[EPOCH], bool(row[_MUST_CHANGE]), row[_CHANGED_AT])

    async def _state_of(self, unit: Unit, user_id: Any) -> UserState:
        row = await unit.row(self._state_row, id=user_id)
        return UserState(**row) if row else UserState()

    def stamp_of(self, row: Row) -> bytes:
        """For a login that waits."""
        return self._own.stamps(row["id"], row[EPOCH], row.get("password", ""))[0]

    def _bound(self, record: SessionRecord, row: Row) -> SessionRecord:
        return self.scheme.bound(record, row["id"], row[EPOCH], row.get("password", ""))

    async def _carry_over(self, unit: Unit, current: CurrentSession, old: bytes, user_id: Any) -> bytes | None:
        (row,) = await unit.rows(self._user_row, id=user_id)
        # inside joined() the application may commit when the response has long gone out
        token = self.scheme.new_token() if current.can_move() and not self._database.is_joined else None
        key = self.scheme.key_of(token) if token else old
        record = await self.store.edit(old, lambda record: self._bound(record, row), new_key=key)
        if record is None:
            return None
        if token is not None:

            async def tell() -> None:
                current.moved(token, record)

            await self._database.after_commit(tell)
        return key

    async def _keep_within_limit(self, user_id: Any, newest: bytes) -> None:
        if self.policy.max_per_user is None:
            return
        others = [(record.last_seen, key) for key, record in await self.store.of_user(user_id) if key != newest]
        for _, key in sorted(others)[: max(0, len(others) + 1 - self.policy.max_per_user)]:
            await self.store.delete(key)

    def _expiry(self, record: SessionRecord, now: datetime) -> datetime:
        return self._until(record, now, _custom_expiry(record))

    def _until(self, record: SessionRecord, now: datetime, custom: Any) -> datetime:
        idle, absolute = self.policy.limits(remember=record.remember)
        until = now + (self.scheme.lifetime or idle)
        if isinstance(custom, str):
            until = datetime.fromisoformat(custom)
        elif custom:
            until = now + timedelta(seconds=custom)
        return until if self.scheme.lifetime else min(until, (record.authenticated_at or record.created) + absolute)


def _key_of_user(current: CurrentSession | None, user_id: Any) -> bytes | None:
    """The key of the request's session, if it is this user's."""
    is_theirs = current is not None and current.record is not None and current.record.user_id == user_id
    return current.key if current is not None and is_theirs else None


def _custom_expiry(record: SessionRecord) -> Any:
    """What `set_expiry` has left there."""
    return _valid_expiry(json.loads(record.data).get(EXPIRY)) if EXPIRY in record.data else None


def _valid_expiry(custom: Any) -> Any:
    """None for anything else that stands under that name, such as a date without a zone of a Django that has none."""
    if type(custom) is int and 0 <= custom <= LONGEST_EXPIRY:
        return custom
    try:
        moment = datetime.fromisoformat(custom) if isinstance(custom, str) else None
        return moment.astimezone(UTC).isoformat() if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
