"""Why somebody may do something, or may not: asked by staff. It reads, and changes nothing."""

from __future__ import annotations

from typing import Any

from ..exceptions import InvalidField, NotFound, UnknownPermission
from ..permissions import Permissions
from ..users import Users
from .actions import Action, Field, Page
from .predicates import staff
from .request_auth import RequestAuth

__all__ = ["Explain"]

_TEXT = {"type": "string"}
_EXPLANATION = {
    "type": "object",
    "properties": {
        "user": _TEXT,
        "perm": _TEXT,
        "obj": {"anyOf": [_TEXT, {"type": "null"}]},
        "allowed": {"type": "boolean"},
        "decided_by": {"anyOf": [_TEXT, {"type": "null"}]},
        "answers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "source": _TEXT,
                    "allowed": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                    "reasons": {"type": "array", "items": _TEXT},
                    "reached": {"type": "boolean"},
                },
                "required": ["source", "allowed", "reasons", "reached"],
            },
        },
    },
    "required": ["user", "perm", "obj", "allowed", "decided_by", "answers"],
}


class Explain:
    """The action `explain`."""

    def __init__(self, users: Users[Any], permissions: Permissions) -> None:
        self._users = users
        self._permissions = permissions

    async def explain(self, auth: RequestAuth[Any], *, user: str, perm: str, obj: str | None = None) -> dict[str, Any]:
        """`user`: a login identifier; `obj`: the key of an object. Raises `InvalidField`, and `NotFound` where there is
        no such user or object."""
        try:
            ref = await self._permissions._named(perm, obj)
        except UnknownPermission:
            raise InvalidField("perm", "unknown_permission") from None
        except TypeError:
            raise InvalidField("obj", "invalid") from None
        found = await self._users.find(user)
        if found is None:
            raise NotFound("there is no such user")
        return (await self._permissions.explain(found, perm, ref)).as_dict()

    def action(self) -> Action:
        return Action(
            name="explain",
            path="explain",
            method="GET",
            run=self.explain,
            fields={
                "user": Field(max_length=254),
                "perm": Field(max_length=201),
                "obj": Field(required=False, max_length=255),
            },
            guard=staff,
            summary="Say why a user may do something, or may not",
            shows=_EXPLANATION,
            page=Page(
                path="explain",
                name="explain",
                template="explain.html",
                title="explain.title",
                submit="explain.submit",
            ),
        )
