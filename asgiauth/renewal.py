"""When a login must end in a new password."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from .attempt import RequiredStep
from .backends import Backend
from .passwords import PasswordPolicy, is_usable
from .sessions.service import UserState
from .users import User

__all__ = ["NEW_PASSWORD", "PasswordChangeDue", "Renewal"]

NEW_PASSWORD = RequiredStep("password_change", "new_password", "login/password")
"""The last of all steps: whoever only knows a password must not be able to change it (D-13)."""


class PasswordChangeDue(Exception):
    """Takes the login back whose unit of work it is raised in."""


class Renewal:
    """Whether the password by which somebody logs in will do."""

    def __init__(
        self, policy: PasswordPolicy, backends: Mapping[str, Backend], *, clock: Callable[[], datetime]
    ) -> None:
        self._max_age = policy.max_age
        self._by_password = {name for name, backend in backends.items() if getattr(backend, "proves_password", False)}
        self._clock = clock

    def is_due(self, user: User, state: UserState, backend: str) -> bool:
        """Whom a backend knows by something else than the stored password (a passkey, a directory, another site), is
        not asked for another one: that would give a password to somebody who has proved none."""
        if not self.is_proof(backend) or not is_usable(user.password):
            return False
        if state.must_change_password or self._max_age is None:
            return state.must_change_password
        # where nobody has noted a change, the password is at most as old as the account: so it counts as that old
        return self._clock() - (state.password_changed_at or user.date_joined) >= self._max_age

    def is_proof(self, backend: str) -> bool:
        """Whether who is known by that backend has given the stored password."""
        return backend in self._by_password
