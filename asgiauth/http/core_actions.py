"""What a client can ask for, each written once: parsed input in, an outcome out. No JSON, no HTML, no status codes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..accounts import Accounts
from ..exceptions import LoginRefused, NotFound, PasswordRejected
from ..renewal import NEW_PASSWORD
from ..sessions import SessionInfo, Sessions
from .actions import Action, Field, Page
from .request_auth import LoggedIn, RequestAuth, StepRequired

__all__ = ["CoreActions", "InvalidCredentials"]

_USER = {"type": "object", "description": "The public fields of the user."}
_TIME = {"type": "string", "format": "date-time"}
_LOGGED_IN = {"type": "object", "properties": {"user": _USER}, "required": ["user"]}
_SESSION = {
    "type": "object",
    "properties": {
        "user": {"anyOf": [_USER, {"type": "null"}]},
        "methods": {"type": "array", "items": {"type": "string"}},
        "authenticated_at": {"anyOf": [_TIME, {"type": "null"}]},
        "expires_at": {"anyOf": [_TIME, {"type": "null"}]},
        "csrf_token": {"type": "string"},
        "permissions": {
            "type": "array",
            "items": {"type": "string"},
            "description": "With `?include=permissions`: what the user may do, by name; for a superuser all there is.",
        },
    },
    "required": ["user", "methods", "authenticated_at", "expires_at", "csrf_token"],
}
_SESSIONS = {
    "type": "object",
    "properties": {
        "sessions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "device": {"type": "string"},
                    "address": {"type": "string"},
                    "methods": {"type": "array", "items": {"type": "string"}},
                    "created": _TIME,
                    "last_seen": _TIME,
                    "expires_at": _TIME,
                    "current": {"type": "boolean"},
                },
            },
        }
    },
    "required": ["sessions"],
}


class InvalidCredentials(Exception):
    """Unknown, wrong, inactive, without a password: one answer for all (D-20)."""


class CoreActions:
    """What every `Auth` offers."""

    def __init__(self, accounts: Accounts[Any], sessions: Sessions) -> None:
        self._accounts = accounts
        self._sessions = sessions

    async def log_in(
        self, auth: RequestAuth[Any], *, username: str, password: str, remember: bool = False
    ) -> LoggedIn[Any] | StepRequired:
        """Raises `InvalidCredentials`, also when the user has changed while the password was verified."""
        self._sessions.check_writable()
        user = await auth.authenticate(username=username, password=password)
        if user is None:
            raise InvalidCredentials
        try:
            return await auth.login(user, remember=remember)
        except LoginRefused:
            raise InvalidCredentials from None

    async def log_out(self, auth: RequestAuth[Any]) -> None:
        await auth.logout()

    async def session(self, auth: RequestAuth[Any], *, include: Collection[str] = ()) -> dict[str, Any]:
        info, user = auth.session, auth.user
        more = {"permissions": sorted(await auth._permission_names())} if "permissions" in include else {}
        return {
            "user": user.as_dict() if user.is_authenticated else None,
            "methods": list(info.methods) if info else [],
            "authenticated_at": info.authenticated_at.isoformat() if info and info.authenticated_at else None,
            "expires_at": info.expires_at.isoformat() if info else None,
            "csrf_token": auth.csrf_token,
            **more,
        }

    async def change_password(self, auth: RequestAuth[Any], *, old_password: str, new_password: str) -> None:
        auth._speaker.database.check_writable()
        try:
            await self._accounts.change_password(auth.user, old_password=old_password, new_password=new_password)
        except PasswordRejected as error:
            raise PasswordRejected(error.reasons, field="new_password") from None

    async def renew_password(self, auth: RequestAuth[Any], *, new_password: str) -> LoggedIn[Any]:
        """Raises `LoginRefused` when no login waits for it (any more)."""
        try:
            return await auth._renew_password(new_password)
        except PasswordRejected as error:
            raise PasswordRejected(error.reasons, field="new_password") from None

    async def list_sessions(self, auth: RequestAuth[Any]) -> dict[str, Any]:
        return {"sessions": [_shown(session) for session in await self._sessions.list(auth.user)]}

    async def revoke_session(self, auth: RequestAuth[Any], *, id: str) -> None:  # noqa: A002  the path's name
        """One's own alone: another's id is as unknown as one that never was (T22)."""
        if auth.session is not None and auth.session.id == id:
            await auth.logout()
            return
        own = [session.id for session in await self._sessions.list(auth.user)]
        if id not in own or not await self._sessions.revoke(id):
            raise NotFound("there is no such session (any more)")

    async def revoke_others(self, auth: RequestAuth[Any]) -> None:
        await self._sessions.revoke_all(auth.user, keep=auth.session)

    def all(self) -> Sequence[Action]:
        credentials = {
            "username": Field(max_length=254, autocomplete="username"),
            "password": Field(
                secret=True, autocomplete="current-password"
            ),  # a too long one is a wrong one, after the same work (D-06)
            "remember": Field(bool, required=False),
        }
        passwords = {
            "old_password": Field(secret=True, autocomplete="current-password"),
            "new_password": Field(secret=True, autocomplete="new-password"),
        }
        return [
            Action(
                name="login",
                path="login",
                run=self.log_in,
                fields=credentials,
                public=True,
                summary="Log in",
                shows=_LOGGED_IN,
                page=Page(path="login", name="login", title="login.title", submit="login.submit"),
            ),
            Action(
                name="login_password",
                path=NEW_PASSWORD.path,
                run=self.renew_password,
                fields={"new_password": passwords["new_password"]},
                public=True,
                summary="Finish a login with a new password, where the old one will not do any longer",
                shows=_LOGGED_IN,
                page=Page(
                    path=NEW_PASSWORD.path,
                    name="login_password",
                    title="login_password.title",
                    submit="login_password.submit",
                ),
            ),
            Action(
                name="logout",
                path="logout",
                run=self.log_out,
                public=True,
                summary="Log out",
                page=Page(path="logout", name="logout"),
            ),
            Action(
                name="session",
                path="session",
                method="GET",
                run=self.session,
                parts=["permissions"],
                public=True,
                summary="Who is logged in, since when and until when",
                shows=_SESSION,
            ),
            Action(
                name="password_change",
                path="password/change",
                run=self.change_password,
                fields=passwords,
                summary="Change one's own password",
                page=Page(
                    path="password_change",
                    name="password_change",
                    title="password_change.title",
                    submit="password_change.submit",
                    done="password_change_done",
                ),
            ),
            Action(
                name="sessions",
                path="sessions",
                method="GET",
                run=self.list_sessions,
                summary="List one's own sessions",
                shows=_SESSIONS,
                page=Page(path="sessions", name="sessions", template="sessions.html", title="sessions.title"),
            ),
            Action(
                name="sessions_revoke_others",
                path="sessions",
                method="DELETE",
                run=self.revoke_others,
                summary="End one's own sessions, except this one",
                page=Page(path="sessions/revoke_others", name="sessions_revoke_others", then="sessions"),
            ),
            Action(
                name="sessions_revoke",
                path="sessions/{id}",
                method="DELETE",
                run=self.revoke_session,
                summary="End one of one's own sessions",
                page=Page(path="sessions/{id}/revoke", name="sessions_revoke", then="sessions"),
            ),
        ]


def _shown(session: SessionInfo) -> dict[str, Any]:
    return {
        "id": session.id,
        "device": session.device,
        "address": session.address,
        "methods": list(session.methods),
        "created": session.created.isoformat(),
        "last_seen": session.last_seen.isoformat(),
        "expires_at": session.expires_at.isoformat(),
        "current": session.current,
    }
