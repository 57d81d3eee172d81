"""Sessions that a Django site has, too: one row in `django_session` and one cookie for both (rows A1.6 to A1.8).

    SessionPolicy(store=DjangoSessionStore(secret_key=SECRET_KEY))

What Django keeps under `_auth_user_id`, `_auth_user_backend` and `_auth_user_hash` says who is logged in, on either
side; what only asgiauth knows of a session that it has opened is beside, under `_asgiauth`. The rest is
`request.session`, here and there.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple, Self

import anyio
from sqlalchemy import Select, Table, bindparam, delete, select, update

from ..db import Database, Prepared, Row, Unit
from ..db.django_session import django_session
from ..db.tables import Tables
from ..django_signing import DjangoKeys, read_unverified
from ..exceptions import ConfigurationError, InvalidToken
from ..users.fields import key_value
from .policy import SessionCookie
from .record import SessionRecord
from .scheme import EPOCH
from .store import Edit

__all__ = ["DjangoSessionStore"]

logger = logging.getLogger("asgiauth")

_SALT = "django.contrib.sessions.SessionStore"
_USER, _BACKEND, _HASH, _OURS = "_auth_user_id", "_auth_user_backend", "_auth_user_hash", "_asgiauth"
_BACKENDS = {"django.contrib.auth.backends.ModelBackend": "password"}
_CSRF = "_csrftoken"
"""Where Django keeps it with CSRF_USE_SESSIONS."""
_RESERVED = (_USER, _BACKEND, _HASH, _OURS)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_TOKEN = re.compile(r"[a-z0-9]{32}")
_MINIMUM_KEY = 32
_PAGE, _KEY_PAGE = 200, 2000
"""Rows that are read at once where all have to be looked at: a few milliseconds of work."""


class DjangoSessionStore:
    """Shares sessions with a live Django site that keeps them in its database.

    `secret_key` and `fallbacks` are the site's SECRET_KEY and SECRET_KEY_FALLBACKS. `backend_map` translates the paths
    of Django's authentication backends to names of ours; what is logged in by any other is anonymous here, and what a
    backend without a path logs in is anonymous there. `cookie_name` is SESSION_COOKIE_NAME, `lifetime`
    SESSION_COOKIE_AGE: a session lasts so long from its last change, whatever limits the `SessionPolicy` has, unless
    `set_expiry` says otherwise on either side.

    Raises `ConfigurationError` for a key that is empty or short, and a name that no cookie has.
    """

    is_shared = True
    _database: Database
    _tables: Tables
    _table: Table
    _load: Prepared
    _lock: Prepared

    def __init__(
        self,
        *,
        secret_key: str | bytes,
        fallbacks: Sequence[str | bytes] = (),
        backend_map: Mapping[str, str] | None = None,
        cookie_name: str = "sessionid",
        lifetime: timedelta = timedelta(weeks=2),
    ) -> None:
        self._keys = DjangoKeys(secret_key, fallbacks)
        if len(secret_key) < _MINIMUM_KEY:  # a fallback may be: that is how a short one is replaced
            raise ConfigurationError(
                f"secret_key is shorter than {_MINIMUM_KEY} characters: give Django a longer SECRET_KEY, and put the "
                "old one into SECRET_KEY_FALLBACKS and fallbacks"
            )
        if lifetime <= timedelta(0):
            raise ConfigurationError("lifetime is the SESSION_COOKIE_AGE of Django, and more than nothing")
        self.cookie_name = SessionCookie(cookie_name).name
        self.lifetime = lifetime
        self._names = dict(_BACKENDS if backend_map is None else backend_map)
        if any("." not in path for path in self._names):
            raise ConfigurationError(
                "backend_map leads from a path of Django's to a name of ours: "
                '{"django.contrib.auth.backends.ModelBackend": "password"}'
            )
        self._paths = {name: path for path, name in reversed(self._names.items())}
        self._reading = anyio.Lock()

    def bound_to(self, database: Database, tables: Tables) -> Self:
        """`Auth` calls this: a store is named before the tables exist."""
        bound = copy.copy(self)
        table = django_session(tables.user.metadata)
        one = select(table).where(table.c.session_key == bindparam("key", type_=table.c.session_key.type))
        bound._database, bound._tables, bound._table = database, tables, table
        bound._load, bound._lock = database.prepare(one), database.prepare(one.with_for_update())
        return bound

    @property
    def tables(self) -> Sequence[Table]:
        """What `create_tables` creates where it is missing."""
        return [self._table]

    # SessionStore

    async def load(self, key: bytes) -> SessionRecord | None:
        row = await self._database.fetch_one(self._load, key=key.decode())
        return None if row is None else self._read(row).record

    async def create(self, key: bytes, record: SessionRecord) -> None:
        if record.user_id is not None:  # whoever has planted a visitor's session knows its token: Django's rotate_token
            data = {name: value for name, value in json.loads(record.data).items() if name != _CSRF}
            record = replace(record, data=json.dumps(data))
        values = self._values(key, record, noted=True)
        await self._database.within(lambda unit: unit.insert(self._table, values))

    async def edit(self, key: bytes, change: Edit, *, new_key: bytes | None = None) -> SessionRecord | None:
        this = self._table.c.session_key == key.decode()

        async def work(unit: Unit) -> SessionRecord | None:
            row = await unit.row(self._lock, key=key.decode())
            if row is None:
                return None
            kept = self._read(row)
            record = change(kept.record)
            if record is None:
                await unit.changed(delete(self._table).where(this))
            else:
                values = self._values(new_key or key, record, noted=kept.noted, path=kept.path)
                await unit.changed(update(self._table).where(this).values(values))
            return record

        return await self._database.within(work)

    async def touch(self, key: bytes, *, seen: datetime, now: datetime, expires_at: datetime) -> None:
        """Does nothing: Django notes no use of a session, only its last change."""

    async def delete(self, key: bytes) -> bool:
        return bool(await self._delete([key.decode()]))

    async def of_user(self, user_id: Any) -> Sequence[tuple[bytes, SessionRecord]]:
        """Reads all sessions there are: Django keeps no index of them by user."""
        found = await self._search(select(self._table), _PAGE, lambda row: self._names_user(row, str(user_id)))
        records = [(row["session_key"].encode(), self._read(row).record) for row in found]
        return [(key, record) for key, record in records if record.user_id == user_id]

    async def delete_of_user(self, user_id: Any, *, keep: bytes | None = None) -> int:
        """Reads all sessions there are; one that is opened meanwhile may stay."""
        keys = [key.decode() for key, _ in await self.of_user(user_id) if key != keep]
        return sum([await self._delete(keys[first : first + _PAGE]) for first in range(0, len(keys), _PAGE)])

    async def restamp(self, user_id: Any, old: Sequence[bytes], new: bytes) -> None:
        """Does nothing: whose hash is replaced by a stronger one, is logged out elsewhere, as by Django."""

    async def purge(self, now: datetime) -> int:
        expired = delete(self._table).where(self._table.c.expire_date <= now)
        return await self._database.within(lambda unit: unit.changed(expired))

    # SessionScheme

    def new_token(self) -> str:
        return "".join(secrets.choice(_LETTERS) for _ in range(32))

    def is_token(self, token: str) -> bool:
        return _TOKEN.fullmatch(token) is not None

    def key_of(self, token: str) -> bytes:
        """Django has it in clear, and so a copy of the database is worth every session in it."""
        return token.encode()

    def public_id(self, key: bytes) -> str:
        return sha256(key).hexdigest()

    async def key_with(self, public_id: str) -> bytes | None:
        """Reads the keys of all sessions there are."""

        def is_this(row: Row) -> bool:
            return self.public_id(row["session_key"].encode()) == public_id

        found = await self._search(select(self._table.c.session_key), _KEY_PAGE, is_this)
        return found[0]["session_key"].encode() if found else None

    def bound(self, record: SessionRecord, user_id: Any, epoch: int, password: str) -> SessionRecord:
        return replace(record, user_id=user_id, epoch=epoch, stamp=self._keys.session_hashes(password)[0])

    def is_bound(self, record: SessionRecord, user_row: Row) -> bool:
        """Django knows of no epoch: a session that it has opened has none."""
        hashes = self._keys.session_hashes(user_row.get("password", ""))
        genuine = any(compare_digest(one, record.stamp or b"") for one in hashes)
        return genuine and record.epoch in (None, user_row[EPOCH])

    # how a record looks there

    def _read(self, row: Row) -> _Kept:
        """Whatever is in a row: an unreadable one is an empty session (row A8.11)."""
        expires_at = row["expire_date"]
        content, signed_at = self._content(row["session_data"]) or ({}, expires_at - self.lifetime)
        user_id, path = key_value(self._tables.user.c.id, content.get(_USER)), str(content.get(_BACKEND, ""))
        noted = _noted(content, None if user_id is None else content[_USER])
        record = SessionRecord(
            **{"created": signed_at, **noted, "last_seen": max(signed_at, noted.get("last_seen", signed_at))},
            expires_at=expires_at,
            data=json.dumps(_rest(content), separators=(",", ":")),
        )
        if user_id is not None:
            stamp = _bytes(content.get(_HASH))
            record = replace(record, user_id=user_id, backend=self._names.get(path, path), stamp=stamp)
        return _Kept(record, bool(noted), path)

    def _content(self, text: str) -> tuple[dict[str, Any], datetime] | None:
        try:
            content, signed_at = self._keys.loads(text, salt=_SALT)
        except InvalidToken as error:
            logger.warning("a session counts as empty: %s", error)
            return None
        except ValueError:
            return None
        return (content, signed_at) if isinstance(content, dict) else None

    def _values(self, key: bytes, record: SessionRecord, *, noted: bool, path: str = "") -> dict[str, Any]:
        """The row. What asgiauth knows is only `noted` in a session that it has opened itself. `path` was there before:
        of several that have one name here, that one stays."""
        content = _rest(json.loads(record.data))
        if record.user_id is not None:
            content[_USER] = str(record.user_id)
            is_same = self._names.get(path, path) == record.backend
            content[_BACKEND] = path if is_same else self._paths.get(record.backend, record.backend)
            content[_HASH] = (record.stamp or b"").hex()
        if noted:
            content[_OURS] = _note(record)
        data = self._keys.dumps(content, salt=_SALT, at=record.last_seen, compress=True)
        return {"session_key": key.decode(), "session_data": data, "expire_date": record.expires_at}

    def _names_user(self, row: Row, user_id: str) -> bool:
        """Without a look at the signature, which would double the work."""
        try:
            content = read_unverified(row["session_data"])
        except ValueError:
            return False
        return isinstance(content, dict) and content.get(_USER) == user_id

    async def _search(self, what: Select[Any], page: int, wanted: Callable[[Row], bool]) -> list[Row]:
        """Looks at every row, a page at a time, for one who asks after the other: it must not hold up the rest."""
        key = self._table.c.session_key
        following = what.where(key > bindparam("after", type_=key.type)).order_by(key).limit(page)
        prepared, after, found = self._database.prepare(following), "", list[Row]()
        async with self._reading:
            while rows := await self._database.fetch(prepared, after=after):
                found += filter(wanted, rows)
                after = rows[-1]["session_key"]
        return found

    async def _delete(self, keys: Sequence[str]) -> int:
        these = delete(self._table).where(self._table.c.session_key.in_(keys))
        return await self._database.within(lambda unit: unit.changed(these))


class _Kept(NamedTuple):
    """What a row holds, whether asgiauth has opened that session, and the path of Django's backend."""

    record: SessionRecord
    noted: bool
    path: str


def _rest(content: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to the application."""
    return {name: value for name, value in content.items() if name not in _RESERVED}


_TIMES = ("created", "last_seen", "authenticated_at")
_PLAIN = ("remember", "device", "address", "epoch")


def _note(record: SessionRecord) -> dict[str, Any]:
    times = {name: time.isoformat() for name in _TIMES if (time := getattr(record, name)) is not None}
    plain = {name: getattr(record, name) for name in _PLAIN}
    user = None if record.user_id is None else str(record.user_id)
    return {"user": user, "methods": record.methods, **times, **plain}


def _noted(content: Mapping[str, Any], user: str | None) -> dict[str, Any]:
    """What asgiauth has noted of the session of this user: nothing of another one's, nor of before a login at Django,
    which keeps the data of the visitor who logs in."""
    note = content.get(_OURS)
    if not isinstance(note, dict) or note.get("user") != user:
        return {}
    try:
        times = {name: datetime.fromisoformat(note[name]).astimezone(UTC) for name in _TIMES if name in note}
        return {"methods": tuple(note["methods"]), **times, **{name: note[name] for name in _PLAIN}}
    except (KeyError, TypeError, ValueError, OverflowError):
        return {}


def _bytes(text: Any) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        return None
