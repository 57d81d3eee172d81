"""The body of a request to a view of ours, within limits (D-35)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import ClientDisconnect, Request

from .errors import ErrorCode

__all__ = ["Refused", "read_body"]

MAX_BODY = 64 * 1024
"""Bytes, counted while they arrive: Content-Length is only what the client says."""


class Refused(Exception):
    """The input is not one that an action could be given."""

    def __init__(self, code: ErrorCode, status: int, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        self.code: ErrorCode = code
        self.status = status
        self.fields = fields


async def read_body(request: Request, media_type: str, *, unless_said: str = "") -> bytes:
    """Raises `Refused` for another type (415), for too much (413), and when the client has gone (400). A body without
    any is one of the type `unless_said`."""
    if request.headers.get("content-type", unless_said).partition(";")[0].strip().lower() != media_type:
        raise Refused("unsupported_media_type", 415)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise Refused("body_too_large", 413)
    except ClientDisconnect:
        raise Refused("invalid_body", 400) from None
    return bytes(body)
