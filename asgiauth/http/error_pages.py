"""What the middleware and the guards refuse, for people: a page where the application has pages. Scripts get JSON."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from .cookies import NO_COOKIES
from .errors import ExceptionHandlers, NotAuthorized, NothingThere, answered_503, respond
from .errors import exception_handlers as plain_handlers
from .perms import PermissionSet
from .request_auth import RequestAuth
from .speaker import Speaker
from .state import Facts, SessionState

__all__ = ["answer", "exception_handlers", "for_people"]

logger = logging.getLogger("asgiauth")


async def for_people(plain: Response, speaker: Speaker[Any], scope: Scope, root_path: str) -> Response:
    """`plain`, one of our JSON errors, or the same as a page. `root_path` is that of the middleware."""
    if speaker.look.error_page is None or not _is_navigation(scope):
        return plain
    try:
        return await speaker.look.error_page(_of_nobody(speaker, scope, root_path), plain)
    except Exception:  # a template of the application's must not turn a 503 into a 500
        logger.exception("answered JSON, for the error page failed: mend asgiauth/error.html, or what it extends")
        return plain


def _is_navigation(scope: Scope) -> bool:
    """A browser on its way to a page: old ones have no Sec-Fetch-Mode, and none asks for JSON."""
    headers = Request(scope).headers
    accepted = headers.get("accept", "").lower()
    goes = headers.get("sec-fetch-mode", "navigate") == "navigate"
    return goes and "text/html" in accepted and "json" not in accepted


def _of_nobody(speaker: Speaker[Any], scope: Scope, root_path: str) -> Request:
    """The request as of a visitor without cookies: to show it needs no database, and sets no cookie."""
    shown = {**scope, "root_path": root_path}
    state: SessionState[Any] = SessionState(speaker, NO_COOKIES, None, partial(Facts, "", ""))
    shown["auth"] = auth = RequestAuth(speaker, shown, state)
    shown["session"] = state.data
    auth._permissions = PermissionSet()
    return Request(shown)


async def answer(request: Request, error: Exception) -> Response:
    """To one of the errors that concern whoever goes to a page: an outage, and the refusal of a guard."""
    auth, plain = request.scope.get("auth"), respond(error)
    if not isinstance(auth, RequestAuth):
        return plain
    return await for_people(plain, auth._speaker, request.scope, auth._root_path)


exception_handlers: ExceptionHandlers = {
    **plain_handlers,
    **dict.fromkeys((*answered_503, NotAuthorized, NothingThere), answer),
}
"""For `Starlette(exception_handlers=auth.exception_handlers)`."""
