"""How a login happens, and how a request finds it again. No HTTP here.

authenticate:   the guards, then the backends in order, until one knows the user (authentication.py)
begin:          the steps that this user still has to take, if any: until the last one the user is nobody
renew_password: the very last step, where the password must become another one (renewal.py)
log_in:         one unit of work: last_login, the old session away, a fresh one in, the event
resume:         one query: the session, its user, and whether both still count
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from .attempt import LoginAttempt, LoginGuard, LoginStep, Opened, PendingLogin, RequiredStep, Resumed, Visit
from .authentication import Authentication, named
from .backends import Backend
from .db import Database, Row, Unit
from .db.tables import Tables
from .events import EventBus, PasswordBreached, UserLoggedIn, UserLoggedOut
from .exceptions import ConfigurationError, LoginRefused, NotFound, TooManyAttempts
from .passwords import Passwords
from .renewal import NEW_PASSWORD, PasswordChangeDue, Renewal
from .sessions import SessionRecord, Sessions
from .sessions.pending import MAX_CHOICES, MAX_TRIES, PENDING_LIFE, PendingLogins, PendingRecord
from .sessions.scheme import EPOCH
from .users import User, UserModel, Users, UserT
from .users.columns import note_login
from .users.permission_version import PermissionVersions

__all__ = ["Login", "LoginAttempt", "LoginGuard", "LoginStep", "PendingLogin", "RequiredStep"]

_CHANGED = "the user has changed since it was read: read it again"


class Login(Authentication[UserT]):
    """The login flow of one `Auth`: every way in ends here."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        sessions: Sessions,
        events: EventBus,
        *,
        backends: Sequence[Backend],
        guards: Sequence[LoginGuard],
        steps: Sequence[LoginStep],
        users: Users[UserT],
        model: UserModel[UserT],
        passwords: Passwords,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(
            events, backends=backends, guards=guards, user_class=model.cls, passwords=passwords, clock=clock
        )
        self._database = database
        self._table = tables.user
        self._model = model
        self._sessions = sessions
        self._users = users
        self._passwords = passwords
        self._steps = named(steps, "login steps")
        for step in steps:
            if not getattr(step, "requirement", "") or not getattr(step, "path", ""):
                raise ConfigurationError(f"the login step {step.name!r} needs a requirement and a path")
            if NEW_PASSWORD.name == step.name or NEW_PASSWORD.requirement == step.requirement:
                raise ConfigurationError(
                    f"the login step {step.name!r} is called like the step for a new password, which is built in: "
                    "give it another name and requirement"
                )
        self.pending = PendingLogins(database, tables, clock=clock)
        self._renewal = Renewal(passwords.policy, self.backends, clock=clock)

    async def begin(
        self, user: User, *, backend: str, method: str, remember: bool, visit: Visit, breaches: int = 0
    ) -> Opened[UserT] | tuple[str, PendingLogin[UserT]]:
        """Logs in, or leaves a pending login where a step is needed: its token, and what it waits for. `breaches` of
        the password are told. Raises `LoginRefused` when the user may not log in, is gone, or has got another password
        since it was read."""
        known = self.checked(user)
        if not self.may_log_in(known, backend):
            raise LoginRefused("this user may not log in")
        attempt = LoginAttempt(
            address=visit.address, device=visit.device, backend=backend, method=method, remember=remember
        )
        if self._wants_change(breaches, backend):
            await self._require_change(known)
        steps: tuple[RequiredStep, ...] = ()
        epoch = None
        if self._steps:
            row = await self._row_of(known)
            steps, epoch = await self._open_steps(known, attempt, passed=()), row[EPOCH]
        if not steps:
            try:  # as the user was at that epoch: a step that was set up meanwhile raises it
                return await self.log_in(
                    known,
                    backend=backend,
                    methods=(method,),
                    remember=remember,
                    visit=visit,
                    epoch=epoch,
                    breaches=breaches,
                    enforce=True,
                )
            except PasswordChangeDue:
                row, steps = await self._row_of(known), (NEW_PASSWORD,)
        stamp = self._sessions.stamp_of(row)

        async def work(unit: Unit) -> tuple[str, PendingRecord]:
            if visit.pending is not None:
                await self.pending.end(unit, visit.pending)
            await self._tell_of_breaches(known, breaches)
            return await self.pending.begin(unit, known.id, stamp, backend=backend, methods=[method], remember=remember)

        token, record = await self._database.atomic(work)
        return token, _pending(known, steps, record)

    async def suffices(self, user: User, *, backend: str, visit: Visit, breaches: int = 0) -> bool:
        """Whether what was proved would log the user in at once, for who is to be known without a session: there is no
        door beside the login's (DESIGN 1). No step may be left, and no new password be due."""
        known = self.checked(user)
        if not self.may_log_in(known, backend):
            return False
        try:
            state = self._sessions.state_of(await self._row_of(known))
            if self._renewal.is_due(known, state, backend):
                return False
            if self._wants_change(breaches, backend):
                await self._require_change(known)
                return False
        except LoginRefused:
            return False
        attempt = LoginAttempt(address=visit.address, device=visit.device, backend=backend, method=backend)
        return not await self._open_steps(known, attempt, passed=())

    async def find_pending(self, token: str, visit: Visit) -> PendingLogin[UserT] | None:
        """The pending login of a token; None when it is unknown or too old, and when its user may not log in (any more)
        or has got another password or epoch."""
        record = await self.pending.find(token)
        row = None if record is None else await self._sessions.user_row(record.user_id)
        if record is None or row is None or record.backend not in self.backends:
            return None
        user = self._model.user(row)
        if not self._sessions.is_stamped(record, row) or not self.may_log_in(user, record.backend):
            return None
        steps = await self._open_steps(user, _attempt(record, visit), passed=record.passed)
        if not steps and self._renewal.is_due(user, self._sessions.state_of(row), record.backend):
            steps = (NEW_PASSWORD,)
        return _pending(user, steps, record)

    async def try_step(self, pending: PendingLogin[UserT], *, limit: int = MAX_TRIES) -> None:
        """Takes one of the tries of a pending login, before a proof is looked at. Raises `TooManyAttempts`."""
        if not await self.pending.try_once(pending.record, limit=limit):
            raise TooManyAttempts(
                "too many tries: log in again from the start", retry_after=int(PENDING_LIFE.total_seconds())
            )

    async def pass_step(
        self, pending: PendingLogin[UserT], name: str, visit: Visit
    ) -> Opened[UserT] | PendingLogin[UserT]:
        """Notes a step as passed, and logs in if it was the last. Raises `LoginRefused` when the step is not one that
        the login waits for, and when another request was first."""
        step = next((step for step in pending.steps if step.name == name), None)
        if step is None or step == NEW_PASSWORD:  # which only a new password passes
            raise LoginRefused(f"the login does not wait for a step named {name!r}")
        methods, passed = (*pending.methods, name), (*pending.record.passed, step.requirement)
        steps = await self._open_steps(pending.user, _attempt(pending.record, visit), passed=passed)
        if not steps:
            try:
                return await self._complete(pending, pending.user, methods, visit, enforce=True)
            except PasswordChangeDue:
                steps = (NEW_PASSWORD,)
        record = await self.pending.advance(pending.record, name, step.requirement)
        if record is None:
            raise LoginRefused("this pending login has ended")
        return _pending(pending.user, steps, record)

    async def renew_password(self, pending: PendingLogin[UserT], password: str, visit: Visit) -> Opened[UserT]:
        """The step of somebody who must choose another password, and the login that waits for it: all of it happens or
        nothing. Every other session of the user ends (D-13). Raises `PasswordRejected`, also for the present password,
        `LoginRefused` when the login does not wait for that (yet), and when the user has changed meanwhile, and
        `TooManyAttempts`: each try costs hashes."""
        if NEW_PASSWORD not in pending.steps:
            raise LoginRefused("the login does not wait for a new password")
        await self.try_step(pending, limit=MAX_CHOICES)
        known = pending.user
        last = max(1, self._passwords.policy.history)
        new = await self._users._new_password(known, password, present=known.password, last=last)

        async def work(unit: Unit) -> Opened[UserT]:
            try:
                changed = await self._users._store_password(unit, known, new, replacing=known.password)
            except NotFound:
                raise LoginRefused(_CHANGED) from None
            if not self.may_log_in(changed, pending.record.backend):
                raise LoginRefused(_CHANGED)
            await self._sessions.end_others(known.id, keep=visit.key)
            return await self._complete(pending, changed, pending.methods, visit)

        return await self._database.atomic(work)

    async def _complete(
        self,
        pending: PendingLogin[UserT],
        user: UserT,
        methods: tuple[str, ...],
        visit: Visit,
        *,
        enforce: bool = False,
    ) -> Opened[UserT]:
        return await self.log_in(
            user,
            backend=pending.record.backend,
            methods=methods,
            remember=pending.remember,
            visit=replace(visit, pending=pending.record),
            completes=True,
            enforce=enforce,
        )

    async def abandon(self, pending: PendingLogin[UserT]) -> None:
        """Gives a pending login up."""
        await self._database.atomic(lambda unit: self.pending.end(unit, pending.record))

    async def _open_steps(
        self, user: UserT, attempt: LoginAttempt, *, passed: Sequence[str]
    ) -> tuple[RequiredStep, ...]:
        return tuple(
            [
                RequiredStep(step.name, step.requirement, step.path)
                for step in self._steps.values()
                if step.requirement not in passed and await step.applies_to(user, attempt)
            ]
        )

    async def log_in(
        self,
        user: UserT,
        *,
        backend: str,
        methods: tuple[str, ...],
        remember: bool,
        visit: Visit,
        completes: bool = False,
        epoch: int | None = None,
        breaches: int = 0,
        enforce: bool = False,
    ) -> Opened[UserT]:
        """Opens the session, whatever steps there are; `completes` a pending login, which must be there still. Raises
        `LoginRefused` when the user has changed since, or is at another `epoch` than that; with `enforce`
        `PasswordChangeDue`, and nothing has happened."""
        now = self._clock()
        self._sessions.check_writable()
        notes = "last_login" in self._table.c and not self._database.read_only  # whose sessions are elsewhere then
        known = user.with_changes(last_login=now) if notes else user

        async def work(unit: Unit) -> tuple[str, SessionRecord]:
            if not await note_login(unit, self._table, user, now):
                raise LoginRefused(_CHANGED)
            if visit.pending is not None and not await self.pending.end(unit, visit.pending) and completes:
                raise LoginRefused("this pending login has ended")
            fresh = replace(
                self._sessions.anonymous(device=visit.device, address=visit.address),
                backend=backend,
                methods=methods,
                remember=remember,
            )
            token, record, state = await self._sessions.prepare(unit, user.id, user.password, fresh)
            if epoch not in (None, state.epoch):
                raise LoginRefused(_CHANGED)
            if enforce and self._renewal.is_due(user, state, backend):
                raise PasswordChangeDue
            info = record.info(self._sessions.public_id(token))
            await self._events.publish(UserLoggedIn(at=now, user=known, session=info))
            await self._tell_of_breaches(known, breaches)
            # the session comes last: a store outside of the database cannot take it back
            data = await self._take_over(visit, user.id)
            return token, await self._sessions.open(token, replace(record, data=data))

        token, record = await self._database.atomic(work)
        return Opened(known, token, record)

    async def _take_over(self, visit: Visit, user_id: Any) -> str:
        """Ends the session that the browser had. Its data goes on, unless somebody else was logged in."""
        empty = visit.changes.applied_to(self._sessions.anonymous(device="", address=""))
        if visit.record is None or visit.key is None:
            return empty.data
        if visit.record.user_id not in (None, user_id):
            await self._sessions.store.delete(visit.key)
            return "{}"
        taken = [empty]

        def take(record: SessionRecord) -> None:
            taken.append(visit.changes.applied_to(record))

        await self._sessions.store.edit(visit.key, take)
        return taken[-1].data

    async def log_out(self, user: User | None, key: bytes, record: SessionRecord) -> None:
        """Ends the session, a visitor's too."""

        async def work(unit: Unit) -> None:
            await self._sessions.store.delete(key)
            if user is not None:
                info = record.info(self._sessions.scheme.public_id(key))
                await self._events.publish(UserLoggedOut(at=self._clock(), user=user, session=info))

        await self._database.atomic(work)

    async def resume(self, token: str) -> Resumed[UserT] | None:
        """Who a session token stands for, now: the user must still be there, may still log in, by a backend that is
        still configured, with the password unchanged."""
        found = await self._sessions.find(token)
        if found is None:
            return None
        user = version = None
        if found.user_row is not None:
            # one that is not committed yet is no proof of anything: it may be rolled back, and come again
            version = None if self._database.has_unit else PermissionVersions.of(found.user_row)
            user = self._model.user(found.user_row)
            if found.record.backend not in self.backends:
                # a session of Django's may be somebody's there whom nobody knows here: it must not end by that
                return Resumed(None, found.key, found.record) if self._sessions.scheme.is_shared else None
            if not self.may_log_in(user, found.record.backend):
                if not self._sessions.is_read_only:  # once that is undone, the session stays worthless (D-13)
                    await self._database.atomic(lambda unit: self._sessions.store.delete(found.key))
                return None
        return Resumed(user, found.key, await self._sessions.touch(found), version)

    async def _row_of(self, user: UserT) -> Row:
        """As the user is now, with what is known beside. Raises `LoginRefused` when the password is another one."""
        row = await self._sessions.user_row(user.id)
        present = None if row is None else self._model.user(row)
        if row is None or present is None or (present.password, present.is_active) != (user.password, user.is_active):
            raise LoginRefused(_CHANGED)
        return row

    def _wants_change(self, breaches: int, backend: str) -> bool:
        asked = breaches and self._breaches is not None and self._breaches.on_login == "change"
        return bool(asked) and self._renewal.is_proof(backend)

    async def _require_change(self, user: UserT) -> None:
        try:
            await self._users.require_password_change(user, stored=user.password)
        except NotFound:
            raise LoginRefused(_CHANGED) from None

    async def _tell_of_breaches(self, user: UserT, breaches: int) -> None:
        if breaches:
            await self._events.publish(PasswordBreached(at=self._clock(), user=user, count=breaches))


def _pending(user: UserT, steps: tuple[RequiredStep, ...], record: PendingRecord) -> PendingLogin[UserT]:
    return PendingLogin(
        user=user,
        steps=steps,
        methods=record.methods,
        remember=record.remember,
        tries=record.tries,
        expires_at=record.expires_at,
        record=record,
    )


def _attempt(record: PendingRecord, visit: Visit) -> LoginAttempt:
    return LoginAttempt(
        address=visit.address,
        device=visit.device,
        backend=record.backend,
        method=record.methods[0],
        remember=record.remember,
    )
