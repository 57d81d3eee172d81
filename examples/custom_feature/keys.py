"""Keys for machines: a feature that knows users by what a request carries, and by other credentials than a password."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import click
from sqlalchemy import Column, ForeignKey, MetaData, String, Table, bindparam, delete, func, select
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgiauth import Contribution, Core, User, login_required
from asgiauth.backends import Identity
from asgiauth.checks import Finding
from asgiauth.db import UTCDateTime
from asgiauth.events import PasswordChanged, UserDeleted
from asgiauth.exceptions import LoginRefused
from asgiauth.jobs import Job
from asgiauth.login import LoginAttempt

_KEY = re.compile("mk_[A-Za-z0-9_-]{43}")
"""A prefix by which a leaked key is found in logs and repositories, and 256 random bits."""
_HINT = 7
_LONG = timedelta(days=730)


class MachineKeys:
    """Keys that a user hands to programs: `Authorization: Bearer mk_...`, or `authenticate(machine_key=...)` where a
    program needs a session.

    `keys = MachineKeys(); auth = Auth(..., features=[keys]); await keys.create(user)`. A key ends after `lifetime`, and
    when its user's password is changed. With a user table of your own: `MachineKeys(user_table="member")`.
    """

    name = "machine_key"

    machines_only = False
    """For maintenance: while it is set, people cannot log in. Who is logged in stays so."""

    _core: Core
    _table: Table

    def __init__(self, *, lifetime: timedelta = timedelta(days=365), user_table: str = "auth_user") -> None:
        self._lifetime = lifetime
        self._user_table = user_table

    def tables(self, metadata: MetaData) -> None:
        """`digest` is the SHA-256 of a key, as hexadecimal digits: no salt and no slow hash, for it is no password."""
        self._table = Table(
            "machine_key",
            metadata,
            Column("digest", String(64), primary_key=True),
            Column("user_id", ForeignKey(f"{self._user_table}.id", ondelete="CASCADE"), nullable=False, index=True),
            Column("hint", String(_HINT), nullable=False),
            Column("created", UTCDateTime, nullable=False),
            Column("expires_at", UTCDateTime, nullable=False, index=True),
        )

    def install(self, core: Core) -> Contribution:
        self._core = core
        c = self._table.c
        self._by_digest = core.db.prepare(
            select(c.user_id).where(
                c.digest == bindparam("digest", type_=c.digest.type),
                c.expires_at > bindparam("now", type_=c.expires_at.type),
            )
        )
        return Contribution(
            backends=[self],
            authenticators=[self],
            login_guards=[self],
            listeners=[(PasswordChanged, self._on_event), (UserDeleted, self._on_event)],
            routes=[Route("/machine-keys.csv", login_required(self._as_csv))],
            jobs=[Job("delete old machine keys", timedelta(hours=1), self.delete_expired)],
            commands=[self._command()],
            checks=[self._check],
        )

    async def create(self, user: User) -> str:
        """A new key, which is nowhere to be seen again."""
        key, now = "mk_" + secrets.token_urlsafe(32), self._core.clock()
        row = {
            "digest": _digest(key),
            "user_id": user.id,
            "hint": key[:_HINT],
            "created": now,
            "expires_at": now + self._lifetime,
        }
        await self._core.db.atomic(lambda unit: unit.insert(self._table, row))
        return key

    async def revoke_all(self, user: User) -> int:
        """Ends the user's keys, and says how many there were."""
        mine = delete(self._table).where(self._table.c.user_id == user.id)
        return await self._core.db.within(lambda unit: unit.changed(mine))

    async def count(self) -> int:
        """How many keys there are, old ones too."""
        row = await self._core.db.fetch_one(select(func.count().label("count")).select_from(self._table))
        return row["count"] if row else 0

    async def delete_expired(self) -> int:
        """The job: one conditional statement, so that several processes may run it at once."""
        expired = delete(self._table).where(self._table.c.expires_at <= self._core.clock())
        return await self._core.db.within(lambda unit: unit.changed(expired))

    async def identify(self, connection: HTTPConnection) -> Identity | None:
        """The authenticator. Of two headers it is not clear which one is meant."""
        sent = connection.headers.getlist("authorization")
        scheme, _, key = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
        user = await self._owner(key.strip()) if scheme.lower() == "bearer" else None
        return None if user is None else Identity(user, method=self.name, scopes=frozenset({"machine"}))

    async def authenticate(self, connection: HTTPConnection | None, *, machine_key: str) -> User | None:
        """The backend: `await request.auth.authenticate(machine_key=...)`."""
        return await self._owner(machine_key)

    async def admit(self, attempt: LoginAttempt) -> None:
        """The login guard. Of the credentials it sees the names; the secret values are masked."""
        if self.machines_only and "machine_key" not in attempt.credentials:
            raise LoginRefused("maintenance: only machines may log in")

    async def _owner(self, key: str) -> User | None:
        if not _KEY.fullmatch(key):
            return None
        row = await self._core.db.fetch_one(self._by_digest, digest=_digest(key), now=self._core.clock())
        return None if row is None else await self._core.users.get(row["user_id"])

    async def _on_event(self, event: PasswordChanged | UserDeleted) -> None:
        """Within the unit of work that changes the user: both happen, or neither."""
        await self.revoke_all(event.user)

    async def _as_csv(self, request: Request) -> PlainTextResponse:
        """A route, for what is no JSON: one's own keys. What is JSON is an action."""
        c = self._table.c
        mine = select(c.hint, c.created, c.expires_at).where(c.user_id == request.user.id).order_by(c.created)
        rows: list[dict[str, Any]] = await self._core.db.fetch(mine)
        lines = [f"{row['hint']}...,{row['created'].isoformat()},{row['expires_at'].isoformat()}" for row in rows]
        return PlainTextResponse("\n".join(["key,created,expires", *lines, ""]), media_type="text/csv")

    def _command(self) -> click.Command:
        @click.command("machinekeys")
        @click.pass_obj
        def machinekeys(site: Any) -> None:
            """Say how many keys of machines there are."""

            async def count() -> int:
                async with site.auth():
                    return await self.count()

            click.echo(asyncio.run(count()))

        return machinekeys

    def _check(self) -> Iterator[Finding]:
        if self._lifetime > _LONG:
            yield Finding(
                "machine_keys_live_long",
                "warning",
                f"Keys of machines live for {self._lifetime.days} days: one that has leaked is of use for as long.",
                "Give MachineKeys(lifetime=...) a year or less, and renew them.",
            )


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
