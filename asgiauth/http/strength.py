"""What would be said of a password, told while it is typed. An action like the others; pages ask it by a script."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from starlette.requests import HTTPConnection

from ..exceptions import MissingDependency, Reason
from ..limits import Limit, Limits, network_of
from ..passwords import Passwords, PasswordStrength
from ..texts import Texts
from .actions import Action, Field
from .request_auth import RequestAuth

__all__ = ["StrengthMeter"]

PER_CLIENT = Limit(60, timedelta(minutes=1))
"""For each address, and for each session: who types asks two or three times a second at most, and not for long."""

_TEXT = {"type": "string"}
_STRENGTH = {
    "type": "object",
    "properties": {
        "score": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 4}, {"type": "null"}]},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"code": _TEXT, "text": _TEXT, "params": {"type": "object"}},
                "required": ["code", "text", "params"],
            },
        },
        "warning": {"anyOf": [_TEXT, {"type": "null"}]},
        "suggestions": {"type": "array", "items": _TEXT},
    },
    "required": ["score", "problems", "warning", "suggestions"],
}


class StrengthMeter:
    """The action `password_strength`."""

    def __init__(self, passwords: Passwords, limits: Limits) -> None:
        self._passwords = passwords
        self._limits = limits

    async def judge(
        self, auth: RequestAuth[Any], *, password: str, username: str = "", email: str = ""
    ) -> dict[str, Any]:
        """For whoever is logged in, or is about to be by a login that waits for a new password; else for who has these
        names. Raises `TooManyAttempts`."""
        await self._limits.reserve_all([(key, PER_CLIENT) for key in _keys(auth)])
        user = _user_of(auth) or SimpleNamespace(username=username, email=email)
        problems = await self._passwords.problems(password, user)
        found = await self._strength(password, user)
        t = auth._speaker.texts_for(HTTPConnection(auth._scope))
        return {
            "score": found.score if found else None,
            "problems": [_told(t, problem) for problem in problems],
            "warning": t(f"strength.warning.{found.warning}") if found and found.warning else None,
            "suggestions": [t(f"strength.suggestion.{one}") for one in found.suggestions] if found else [],
        }

    async def _strength(self, password: str, user: object) -> PasswordStrength | None:
        try:
            return await self._passwords.strength(password, user)
        except MissingDependency:
            return None

    def action(self) -> Action:
        return Action(
            name="password_strength",
            path="password/strength",
            run=self.judge,
            fields={
                "password": Field(secret=True, autocomplete="new-password"),
                "username": Field(required=False, max_length=254, autocomplete="username"),
                "email": Field(required=False, max_length=254, autocomplete="email"),
            },
            public=True,
            summary="Judge a password before it is set",
            shows=_STRENGTH,
        )


def _keys(auth: RequestAuth[Any]) -> list[str]:
    """Whom to count: the address, and the session, which may come from many."""
    state = auth._state
    keys = [f"password strength, address {network_of(state.facts.address)}"]
    return [*keys, f"password strength, session {state.session_key}"] if state.key else keys


def _user_of(auth: RequestAuth[Any]) -> object:
    if auth.scopes:
        return auth.user
    return auth.pending.user if auth.pending else None


def _told(t: Texts, problem: Reason) -> dict[str, Any]:
    params = {name: _plain(value) for name, value in problem.params.items()}
    return {"code": problem.code, "text": t.problem(problem.code, **problem.params), "params": params}


def _plain(value: Any) -> Any:
    """A validator of the application may give whatever it likes."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else str(value)
