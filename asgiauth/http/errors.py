"""From a domain error to an HTTP answer: one shape, stable codes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import (
    InvalidField,
    InvalidToken,
    LoginRefused,
    NotFound,
    NotReady,
    PasswordRejected,
    PermissionDenied,
    ReadOnly,
    SessionTooLarge,
    TooManyAttempts,
    Unavailable,
    UserExists,
)

__all__ = [
    "ErrorCode",
    "ExceptionHandlers",
    "NotAuthenticated",
    "NotAuthorized",
    "NothingThere",
    "error_response",
    "exception_handlers",
    "json_response",
    "respond",
    "responds_to",
    "unavailable",
]

logger = logging.getLogger("asgiauth")

ErrorCode = Literal[
    "body_too_large",
    "csrf_failed",
    "invalid_body",
    "invalid_credentials",
    "invalid_fields",
    "invalid_token",
    "login_refused",
    "method_not_allowed",
    "not_authenticated",
    "not_found",
    "password_rejected",
    "permission_denied",
    "read_only",
    "recent_login_required",
    "session_too_large",
    "step_required",
    "too_many_attempts",
    "unavailable",
    "unsupported_media_type",
    "user_exists",
]

MESSAGES: Mapping[ErrorCode, str] = {
    "body_too_large": "The request body is too large.",
    "csrf_failed": (
        "This change does not come from this site. Another site that may send it belongs into "
        "Auth(trusted_origins=[...]); a client without Origin and Sec-Fetch-Site headers sends the csrf_token of a "
        "page, or of GET session, as X-CSRF-Token."
    ),
    "invalid_body": "The request body is not a JSON object.",
    "invalid_credentials": "Invalid username or password.",
    "invalid_fields": "Some fields are missing or not valid.",
    "invalid_token": "The link or token is not valid.",
    "login_refused": "This account cannot log in.",
    "method_not_allowed": "This method is not allowed here.",
    "not_authenticated": "Log in first.",
    "not_found": "There is nothing here.",
    "password_rejected": "The password is not acceptable.",
    "permission_denied": "You may not do this.",
    "read_only": "This cannot be done for the moment: the site can only be read.",
    "recent_login_required": "Log in again to do this.",
    "session_too_large": "This is more than can be remembered.",
    "step_required": "One more step is needed to log in.",
    "too_many_attempts": "Too many attempts. Try again later.",
    "unavailable": "The service is unavailable for the moment. Try again.",
    "unsupported_media_type": "Send the body as application/json.",
    "user_exists": "This is already taken.",
}


class NotAuthenticated(HTTPException):
    """A guard's answer to an anonymous request: 401, or 303 to the login page. Starlette's own handlers understand it;
    `auth.exception_handlers` gives the 401 the shape of the JSON errors."""

    def __init__(self, location: str | None = None) -> None:
        if location is None:
            super().__init__(401, MESSAGES["not_authenticated"], {"WWW-Authenticate": "Cookie", "Vary": "Cookie"})
        else:
            super().__init__(303, "", {"Location": location, "Vary": "Cookie"})


class NotAuthorized(HTTPException):
    """A guard's answer to a user without the right: 403. Its `code` is `permission_denied`, or `recent_login_required`
    where logging in again would help."""

    def __init__(self, code: Literal["permission_denied", "recent_login_required"] = "permission_denied") -> None:
        super().__init__(403, MESSAGES[code], {"Vary": "Cookie"})
        self.code: ErrorCode = code


class NothingThere(HTTPException):
    """A guard's answer to a user where the object that it asks about does not exist: 404."""

    code: ErrorCode = "not_found"

    def __init__(self) -> None:
        super().__init__(404, MESSAGES["not_found"], {"Vary": "Cookie"})


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """ASCII JSON, so that no text can fail to be encoded; never stored by a cache (D-24)."""
    return Response(
        json.dumps(content, separators=(",", ":")),
        status,
        {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})},
        media_type="application/json",
    )


def error_response(
    code: ErrorCode,
    status: int,
    *,
    fields: Mapping[str, Sequence[str]] | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """`{"detail": {"code", "message", "fields"?, ...}}`."""
    detail: dict[str, Any] = {"code": code, "message": MESSAGES[code], **more}
    if fields:
        detail["fields"] = fields
    challenge = {"WWW-Authenticate": "Cookie"} if status == 401 else {}  # RFC 9110, 15.5.2
    return json_response({"detail": detail}, status, {**challenge, **(headers or {})})


def unavailable(error: Exception) -> Response:
    """503, in general terms; what is wrong goes to the log (D-23)."""
    if isinstance(error, ReadOnly):
        logger.info("answered 503: %s", error)  # nothing is wrong, and anybody can bring it about
        return error_response("read_only", 503)
    logger.error("answered 503: %s", error)
    retry_after = error.retry_after if isinstance(error, Unavailable) else 1
    return error_response("unavailable", 503, headers={"Retry-After": str(retry_after)})


def respond(error: Exception) -> Response:
    """The answer to one of the errors in `exception_handlers`."""
    match error:
        case NotAuthenticated(status_code=401):
            return error_response("not_authenticated", 401, headers=error.headers)
        case NotAuthenticated():
            return Response(status_code=303, headers=error.headers)
        case NotAuthorized(code=code) | NothingThere(code=code):
            return error_response(code, error.status_code, headers=error.headers)
        case TooManyAttempts(retry_after=seconds):
            return error_response("too_many_attempts", 429, headers={"Retry-After": str(seconds)})
        case PasswordRejected(reasons=reasons, field=field):
            return error_response("password_rejected", 422, fields={field: [reason.code for reason in reasons]})
        case InvalidField(field=field, code=code):
            return error_response("invalid_fields", 422, fields={field: [code]})
        case UserExists(field=field):
            return error_response("user_exists", 409, fields={field: ["taken"]})
    for kind, (code, status) in _PLAIN.items():
        if isinstance(error, kind):
            return error_response(code, status)
    return unavailable(error)


_PLAIN: Mapping[type[Exception], tuple[ErrorCode, int]] = {
    LoginRefused: ("login_refused", 401),
    PermissionDenied: ("permission_denied", 403),
    NotFound: ("not_found", 404),
    InvalidToken: ("invalid_token", 400),
    SessionTooLarge: ("session_too_large", 413),
}


async def _handler(request: Request, error: Exception) -> Response:
    return respond(error)


ExceptionHandlers = dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]
"""As Starlette and FastAPI both take them."""

responds_to: tuple[type[Exception], ...] = (
    NotAuthenticated,
    NotAuthorized,
    NothingThere,
    LoginRefused,
    PermissionDenied,
    SessionTooLarge,
    PasswordRejected,
    InvalidField,
    UserExists,
    NotFound,
    InvalidToken,
    Unavailable,
    NotReady,
)
"""What `respond` knows, and all that derives from it."""

exception_handlers: ExceptionHandlers = dict.fromkeys(responds_to, _handler)
"""For `Starlette(exception_handlers=auth.exception_handlers)`. What has no entry is a programming error, and a 500."""

answered_503 = (Unavailable, NotReady)
