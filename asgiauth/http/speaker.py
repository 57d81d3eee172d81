"""What the HTTP layer of one `Auth` is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from ..backends import Authenticator, Identity, RemoteUserBackend
from ..db import Database
from ..events import EventBus
from ..login import Login
from ..permissions import Groups, Permissions
from ..sessions import Sessions
from ..texts import Languages, Texts
from ..users import UserT
from .cookies import CookieJar
from .csrf import Csrf
from .proxies import TrustedProxies

__all__ = ["ErrorPage", "Look", "Speaker"]

ErrorPage = Callable[[Request, Response], Awaitable[Response]]
"""Shows one of our JSON errors as a page, with its status and headers."""


@dataclass
class Look:
    """How things look to people, which is known once the application asks for it: the page for an error, and whether
    templates that cannot await anything show what the user may do."""

    error_page: ErrorPage | None = None
    shows_perms: bool = False


@dataclass(frozen=True)
class Speaker(Generic[UserT]):
    """Built by `Auth`, used by the middleware, `request.auth` and the guards."""

    database: Database
    login: Login[UserT]
    permissions: Permissions
    groups: Groups
    sessions: Sessions
    events: EventBus
    authenticators: Sequence[Authenticator]
    cookies: CookieJar
    csrf: Csrf
    proxies: TrustedProxies
    origin: str
    login_url: str
    login_redirect_url: str
    skip: Sequence[str]
    clock: Callable[[], datetime]
    texts: Languages
    locale: str | Callable[[HTTPConnection], str]
    look: Look = field(default_factory=Look)
    remote_user: RemoteUserBackend[UserT] | None = None

    def texts_for(self, connection: HTTPConnection) -> Texts:
        """In the language of this request."""
        return self.texts(self.locale if isinstance(self.locale, str) else self.locale(connection))

    async def identify(self, connection: HTTPConnection) -> Identity | None:
        """The first authenticator's answer: who this is by other means than a session. One who is not active is
        nobody."""
        for authenticator in self.authenticators:
            identity: Any = await authenticator.identify(connection)
            if identity is not None:
                return identity if identity.user.is_active else None
        return None
