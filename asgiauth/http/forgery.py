"""Did this site ask for the change? The rule of `csrf.py`, applied to a request."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope

from .csrf import Verdict, header_token, is_unsafe, read_form_token
from .request_auth import RequestAuth

__all__ = ["is_allowed_by_csrf", "unforged"]


async def is_allowed_by_csrf(
    auth: RequestAuth[Any], scope: Scope, receive: Receive, *, shipped: bool
) -> tuple[bool, Receive]:
    """The answer for an unsafe request, and a `receive` that still has its whole body."""
    csrf, headers = auth._speaker.csrf, scope["headers"]
    cookies_present = any(name == b"cookie" for name, _ in headers)
    verdict = csrf.verdict(headers, cookies_present=cookies_present, shipped=shipped)
    if verdict is not Verdict.NEEDS_TOKEN:
        return verdict is Verdict.PASS, receive
    token = header_token(headers)
    if token is None:
        token, receive = await read_form_token(scope, receive)
    binding = auth._binding()
    return token is not None and binding is not None and csrf.matches(token, binding), receive


async def unforged(auth: RequestAuth[Any], request: Request) -> Request | None:
    """The request, to go on with; None for one that another site has caused.

    Views of ours are protected without a cookie too: a login that another site causes is one to its account. The
    middleware has done it where a cookie came; a bearer token no browser sends by itself (D-18).
    """
    identity = auth._identity
    if not is_unsafe(request.method) or auth._csrf_checked or (identity is not None and not identity.ambient):
        return request
    allowed, receive = await is_allowed_by_csrf(auth, request.scope, request.receive, shipped=True)
    return Request(request.scope, receive) if allowed else None
