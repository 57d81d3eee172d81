"""The session of one request: what came, what is stored, and what the response will tell the browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, NamedTuple

from ..attempt import Opened, PendingLogin, Resumed, Visit
from ..exceptions import SessionClosed
from ..sessions import SessionInfo, SessionRecord
from ..sessions.pending import PENDING_LIFE
from ..sessions.record import EXPIRY
from ..users import UserT
from .cookies import ReceivedCookies
from .session import Session
from .speaker import Speaker

__all__ = ["Facts", "SessionState"]


class Facts(NamedTuple):
    """Where a request comes from: an IP address, and what the browser says of itself. Blank for unknown."""

    address: str
    device: str


class SessionState(Generic[UserT]):
    """Changes the session in its store at once, except for the data, which is saved before the response starts."""

    def __init__(
        self,
        speaker: Speaker[UserT],
        received: ReceivedCookies,
        resumed: Resumed[UserT] | None,
        facts: Callable[[], Facts],
        *,
        navigates: bool = True,
    ) -> None:
        self._database = speaker.database
        self._sessions = speaker.sessions
        self._login = speaker.login
        self._cookies = speaker.cookies
        self.on_user: Callable[[UserT | None], None] = lambda user: None
        self._facts = facts
        # a script's request that was under way while somebody logged in must not take the new cookie away
        self._may_clear_unknown = navigates
        self.received = received
        self.token = received.session or ""
        self.key = resumed.key if resumed else None
        self.record = resumed.record if resumed else None
        self.user: UserT | None = resumed.user if resumed else None
        self.permission_version = resumed.permission_version if resumed else None
        self.pending: PendingLogin[UserT] | None = None
        self.closed = ""
        self.data = Session(self.record.data if self.record else "{}", self)
        self._set_cookies: dict[str, str] = {}
        if received.session is not None and resumed is None and navigates:
            self._clear(self._cookies.session)

    # what `request.session` asks

    @property
    def session_key(self) -> str | None:
        return self._sessions.scheme.public_id(self.key) if self.key else None

    @property
    def remember(self) -> bool:
        return self.record is not None and self.record.remember

    def now(self) -> datetime:
        return self._sessions.now()

    def expires_at(self, custom: Any) -> datetime:
        if self.record is not None and not self.data.modified:
            return self.record.expires_at
        return self._sessions.expires_at(self.record or self._sessions.anonymous(), custom)

    # what a change of the user's password asks

    def can_move(self) -> bool:
        return not self.closed

    def moved(self, token: str, record: SessionRecord) -> None:
        self._keep(token, record)

    # what `request.auth` asks

    @cached_property
    def facts(self) -> Facts:
        """Where the request comes from."""
        return self._facts()

    @property
    def info(self) -> SessionInfo | None:
        """The session of a user; None for a visitor's."""
        if self.session_key is None or self.record is None or self.user is None:
            return None
        return self.record.info(self.session_key, current=True)

    def check_open(self) -> None:
        """Raises `SessionClosed`, and `RuntimeError` inside `auth.joined()`."""
        if self.closed:
            raise SessionClosed(self.closed)
        self._check_not_joined()

    def _check_not_joined(self) -> None:
        if self._database.is_joined:
            raise RuntimeError(
                "a session inside auth.joined() would hang on your transaction: commit and leave the block first"
            )

    def close(self, why: str) -> None:
        self.closed = why
        self.data._close(why)

    def visit(self) -> Visit:
        """What a login would replace."""
        return Visit(
            key=self.key,
            record=self.record,
            changes=self.data._changes(),
            pending=self.pending.record if self.pending else None,
            address=self.facts.address,
            device=self.facts.device,
        )

    def opened(self, opened: Opened[UserT]) -> None:
        """Somebody has logged in."""
        self.user, self.permission_version = opened.user, None
        self._keep(opened.token, opened.record)
        self.data._reset(opened.record.data)
        self.await_step(None, "")
        self.on_user(opened.user)

    def await_step(self, pending: PendingLogin[UserT] | None, token: str) -> None:
        """A login waits for a step, or does not any more."""
        name = self._cookies.pending
        if pending is not None and token:
            age = int(PENDING_LIFE.total_seconds())
            self._set_cookies[name] = self._cookies.write(name, token, max_age=age)
        elif pending is None and self.received.pending is not None:
            self._clear(name)
        elif pending is None:
            self._set_cookies.pop(name, None)
        self.pending = pending

    async def logout(self) -> None:
        """Ends the session at once, whoever's it is, and a login that waits for a step."""
        self.check_open()
        if self.key is not None and self.record is not None:
            await self._login.log_out(self.user, self.key, self.record)
        self.leave()
        await self.abandon()

    async def abandon(self) -> None:
        """Ends a login that waits for a step."""
        if self.pending is not None:
            await self._login.abandon(self.pending)
            self.await_step(None, "")

    def leave(self, *, clear: bool = True) -> None:
        """The session is over; the cookie goes, too, with `clear`."""
        self.key, self.record, self.user, self.permission_version = None, None, None, None
        self.data._reset("{}")
        self._set_cookies.pop(self._cookies.session, None)
        if self.received.session is not None and clear:
            self._clear(self._cookies.session)
        self.on_user(None)

    def resumed(self, resumed: Resumed[UserT] | None) -> None:
        """The session of the user was looked up again."""
        self.user = resumed.user if resumed else None
        self.permission_version = resumed.permission_version if resumed else None
        self.record = resumed.record if resumed else None
        self.key = resumed.key if resumed else None

    async def cycle_key(self) -> None:
        self.check_open()
        if self.key is None:
            return
        scheme = self._sessions.scheme
        token = scheme.new_token()
        record = await self._sessions.store.edit(self.key, lambda record: record, new_key=scheme.key_of(token))
        if record is None:
            self.leave(clear=self._may_clear_unknown)
        else:
            self._keep(token, record)

    async def save(self) -> None:
        """Writes what the request has changed in the data. A session that is gone meanwhile is not made anew, and
        neither is one that holds nothing."""
        if not self.data.modified:
            return
        self._check_not_joined()
        changes = self.data._changes()

        def merge(record: SessionRecord) -> SessionRecord | None:
            merged = self._sessions.saved(changes.applied_to(record))
            return None if merged.user_id is None and merged.data == "{}" else merged

        if self.key is None:
            record = merge(self._sessions.anonymous(device=self.facts.device, address=self.facts.address))
            if record is not None:
                token = self._sessions.scheme.new_token()
                await self._sessions.store.create(self._sessions.scheme.key_of(token), record)
                self._keep(token, record)
            return
        kept: list[bool] = []

        def change(record: SessionRecord) -> SessionRecord | None:
            merged = merge(record)
            kept[:] = [merged is not None]
            return merged

        record = await self._sessions.store.edit(self.key, change)
        if record is None:
            self.leave(clear=bool(kept) or self._may_clear_unknown)
        elif EXPIRY in changes.removed or self._sessions.moves_cookie(record):
            self._keep(self.token, record)

    def set_csrf_binding(self, binding: str) -> None:
        """The tokens of this visitor are bound to this from now on."""
        name = self._cookies.csrf
        self._set_cookies[name] = self._cookies.write(name, binding, max_age=None)

    @property
    def has_new_token(self) -> bool:
        """Whether the browser must learn a token, or its session is lost."""
        return self.key is not None and self._cookies.session in self._set_cookies

    def set_cookies(self) -> list[str]:
        """The headers to send."""
        return list(self._set_cookies.values())

    def _keep(self, token: str, record: SessionRecord) -> None:
        self.token, self.key = token, self._sessions.scheme.key_of(token)
        self.record = replace(record, user_row=None)
        age = self._sessions.cookie_age(record)
        self._set_cookies[self._cookies.session] = self._cookies.write(self._cookies.session, token, max_age=age)

    def _clear(self, name: str) -> None:
        if self._sessions.is_read_only:  # whether it is over, others decide: a replica may not even know it yet
            return
        self._set_cookies[name] = self._cookies.clear(name)
