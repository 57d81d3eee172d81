"""Who does the proxy say it is? (A9.4, A9.5, D-34)

believed? -> is somebody else logged in? -> did this site ask for the request? -> the one login flow
"""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..backends import Identity, RemoteUserBackend
from ..exceptions import LoginRefused
from .request_auth import RequestAuth
from .speaker import Speaker

__all__ = ["RemoteUser"]

logger = logging.getLogger("asgiauth")

_MAX = 1024
"""Bytes of a name, before it is cleaned."""
_NOBODY = ""


class RemoteUser:
    """What the middleware does where a `RemoteUserBackend` is configured.

    `settle` comes before the check against forged requests, and only ends what must end; `log_in` after it, so that no
    other site can have sessions opened. Nothing is kept to compare the header with: it must name the user of the
    session, whose row has come with the lookup.
    """

    def __init__(self, backend: RemoteUserBackend[Any], speaker: Speaker[Any]) -> None:
        self._backend = backend
        self._speaker = speaker
        self._header = backend.header.lower().encode()
        self._is_read_only = speaker.sessions.is_read_only
        self._told: set[str] = set()

    async def settle(self, auth: RequestAuth[Any]) -> None:
        """Ends the login of whom the header does not name (any more), and notes whom it names."""
        said = self._said(auth._scope)
        name = self._backend.clean_username(said) if said else said
        state, pending = auth._state, auth.pending
        is_silent = name is None and self._backend.persistent
        if state.user is not None and state.record is not None:
            is_ours = state.record.backend == self._backend.name
            if is_silent or (name is None and not is_ours) or state.user.username == name:
                return
            if is_ours and self._is_read_only:
                state.leave()
            elif is_ours:
                await state.logout()
        elif pending is not None and pending.record.backend == self._backend.name:
            if is_silent or pending.user.username == name:
                return
            if not self._is_read_only:
                await state.abandon()
        auth._named = said if name else None

    async def log_in(self, auth: RequestAuth[Any]) -> None:
        """Whom the header names, if the login flow has nothing against it. A WebSocket's user is known for as long as
        it is open, without a session: its cookie may never reach the browser. So is everybody where no session can be
        written."""
        said, auth._named = auth._named, None
        try:
            user = await auth._authenticate({"remote_user": said}, paced=False)
            if user is None:
                return
            if auth._scope["type"] == "websocket" or self._is_read_only:
                auth._identify = self._still_there
                await auth._look_around()
                if auth._identity is not None and auth._state.user is not None:
                    auth._state.leave(clear=False)  # somebody else's, which goes on where there is no header
            else:
                await auth.login(user)
        except LoginRefused as error:
            logger.warning("whom the proxy names is not logged in: %s", error)

    async def _still_there(self, connection: HTTPConnection) -> Identity | None:
        """For a WebSocket, which may live long: nobody is created or configured now."""
        auth: RequestAuth[Any] = connection.auth
        user = await self._backend.named(self._backend.clean_username(self._said(connection.scope) or _NOBODY))
        return None if user is None else await auth.identity_of(user)

    def _said(self, scope: Scope) -> str | None:
        """What a proxy says in the header: None where it says nothing, and blank for what names nobody."""
        values = [value for name, value in scope["headers"] if name == self._header]
        if not values:
            return None
        if not self._speaker.proxies.believes(scope):
            self._tell(
                "somebody sends the header %s who is none of trusted_proxies, and is not believed. If that was your "
                "proxy, name its address there, and let the server keep it: uvicorn --no-proxy-headers"
            )
            return None
        try:
            (value,) = values
            said = value.decode()
        except ValueError:
            self._tell("the proxy sends the header %s twice, or not as UTF-8: that names nobody")
            return _NOBODY
        return said if len(value) <= _MAX and said.isprintable() and not said.isspace() else _NOBODY

    def _tell(self, what: str) -> None:
        """Once: whoever can cause it could fill the log."""
        if what not in self._told:
            self._told.add(what)
            logger.warning(what, self._backend.header)
