"""`request.session`: a dictionary that is saved before the response starts, key by key, if it was changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

from starlette.middleware.sessions import Session as StarletteSession

from ..exceptions import SessionClosed
from ..sessions.record import EXPIRY, LONGEST_EXPIRY, SessionChanges

__all__ = ["Session", "SessionOwner"]

_TEST = "testcookie"
_WORKED = "worked"


class SessionOwner(Protocol):
    """Who stands behind the data: the session of one request."""

    @property
    def session_key(self) -> str | None: ...
    @property
    def remember(self) -> bool: ...
    def now(self) -> datetime: ...
    def expires_at(self, custom: Any) -> datetime: ...
    async def cycle_key(self) -> None: ...
    async def logout(self) -> None: ...


class Session(StarletteSession):
    """Starlette's session, kept on the server: data that belongs to this browser, as JSON of at most 64 KiB.

    Requests at the same time do not undo each other: only the keys that a request has changed are written. A change
    inside a value is noticed only with `request.session.modified = True` (Django row A8.4). What is written once the
    response has begun raises `SessionClosed`, since it could not be kept.
    """

    def __init__(self, data: str, owner: SessionOwner) -> None:
        super().__init__(json.loads(data))
        self._before = data
        self._owner = owner
        self._modified = False
        self._closed = ""

    @property
    def modified(self) -> bool:
        """Whether it will be saved. Set it after a change inside a value. Raises `SessionClosed` if it is too late."""
        return self._modified

    @modified.setter
    def modified(self, value: bool) -> None:
        if self._closed and value:
            raise SessionClosed(self._closed)
        self._modified = value

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            self.mark_modified()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        self.mark_modified()
        return super().popitem()

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    @property
    def session_key(self) -> str | None:
        """The public id of the session, None where nothing is stored yet. (It is not what the cookie holds.)"""
        return self._owner.session_key

    def is_empty(self) -> bool:
        """Nothing is stored, and nothing will be (Django row A8.7)."""
        return self.session_key is None and not self

    def set_expiry(self, value: int | datetime | timedelta | None) -> None:
        """How long this session lasts, within the limits of the `SessionPolicy`: seconds from its last change, 0 until
        the browser closes, a date or a span that does not move, None for the policy's own (Django row A8.9)."""
        if value is None:
            self.pop(EXPIRY, None)
            return
        if isinstance(value, timedelta):
            value = self._owner.now() + value
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError("a naive datetime does not say when: use datetime.now(UTC)")
            self[EXPIRY] = value.astimezone(UTC).isoformat()
        elif type(value) is int and 0 <= value <= LONGEST_EXPIRY:
            self[EXPIRY] = value
        else:
            raise ValueError(
                f"set_expiry() takes 0 to {LONGEST_EXPIRY} seconds, a datetime, a timedelta or None: {value!r}"
            )

    def get_expiry_age(self) -> int:
        """Seconds until this session ends if nothing more happens (Django row A8.10)."""
        return max(0, int((self.get_expiry_date() - self._owner.now()).total_seconds()))

    def get_expiry_date(self) -> datetime:
        """When this session ends if nothing more happens."""
        return self._owner.expires_at(self.get(EXPIRY))

    def get_expire_at_browser_close(self) -> bool:
        """Whether the cookie goes when the browser closes."""
        custom = self.get(EXPIRY)
        return not self._owner.remember if custom is None else custom == 0

    def set_test_cookie(self) -> None:
        """Leaves a mark, to see at the next request whether the browser takes cookies (Django row A8.8)."""
        self[_TEST] = _WORKED

    def test_cookie_worked(self) -> bool:
        return bool(self.get(_TEST) == _WORKED)

    def delete_test_cookie(self) -> None:
        self.pop(_TEST, None)

    async def cycle_key(self) -> None:
        """The same data under a fresh id, at once; the old one is worthless (Django row A8.6)."""
        await self._owner.cycle_key()

    async def flush(self) -> None:
        """Ends the session with all its data, at once, and logs out (Django row A8.5)."""
        await self._owner.logout()

    def _changes(self) -> SessionChanges:
        """Raises `SessionTooLarge`, and `TypeError` or `ValueError` for what is not JSON."""
        try:
            return SessionChanges.between(json.loads(self._before), self)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"request.session holds what is not JSON, and is not saved: {error}") from error

    def _reset(self, data: str) -> None:
        """What is stored now."""
        dict.clear(self)
        dict.update(self, json.loads(data))
        self._before, self._modified = data, False

    def _close(self, why: str) -> None:
        self._closed = why
