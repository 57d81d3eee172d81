"""The same guards as FastAPI dependencies, the user as a parameter, and the answers for the OpenAPI document."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from .auth import Auth
from .exceptions import MissingDependency
from .http.actions import Action, Field
from .http.csrf import is_unsafe
from .http.denial import check
from .http.errors import ErrorCode
from .http.json import answer
from .http.marks import mark_guarded, public
from .http.predicates import Predicate, all_of, authenticated, is_authenticated
from .http.templates import Templates
from .users import UserT

try:
    from fastapi import APIRouter, Depends
    from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
    from fastapi.openapi.models import SecurityBase as SecurityModel
    from fastapi.security.base import SecurityBase
    from pydantic import BaseModel
except ImportError as error:
    raise MissingDependency("fastapi", "fastapi") from error

__all__ = ["RESPONSES", "CurrentUser", "ErrorBody", "OptionalUser", "Requires", "auth_router"]

# No `from __future__ import annotations` here: FastAPI cannot resolve the strings of a callable object's signature.


class _Scheme(SecurityBase):
    """Documents one way to prove who one is; the middleware has looked at it already."""

    def __init__(self, name: str, model: SecurityModel) -> None:
        self.scheme_name = name
        self.model = model

    async def __call__(self) -> None:
        """Nothing to do."""


_COOKIE = (
    "The session cookie of a login. Over plain http, on one's own machine, it is called `asgiauth`; a realm or a name "
    "of `SessionCookie` changes it, too."
)
_Session = Annotated[
    None,
    Depends(
        _Scheme(
            "asgiauth_session",
            APIKey.model_validate({"in": APIKeyIn.cookie, "name": "__Host-asgiauth", "description": _COOKIE}),
        )
    ),
]
_Bearer = Annotated[
    None, Depends(_Scheme("asgiauth_bearer", HTTPBearer(description="A token, where the application issues them.")))
]


class Requires:
    """`Depends(Requires(staff))`, on an operation, a router or the application: what `requires` is for functions, with
    the schemes in the OpenAPI document.

    Raises `ConfigurationError` for what is no predicate.
    """

    def __init__(self, *predicates: Predicate) -> None:
        self._predicate = all_of(*predicates)
        mark_guarded(self, self._predicate)

    async def __call__(self, connection: HTTPConnection, session: _Session, bearer: _Bearer) -> None:
        await check(connection, self._predicate)

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """`RESPONSES` with what this guard asks for, for the OpenAPI document: `may_change = Requires(perm(...))`, then
        `dependencies=[Depends(may_change)], responses=may_change.responses`."""
        asked = f"Asked for: `{self._predicate.text}`."
        described = {status: RESPONSES[status]["description"] for status in (401, 403)}
        if self._predicate.looks_for_object:
            described[404] = "There is no such object. Who is not logged in gets 401 instead."
        ours: dict[int | str, dict[str, Any]] = {
            status: {**RESPONSES.get(status, {"model": ErrorBody}), "description": f"{text} {asked}"}
            for status, text in described.items()
        }
        return {**RESPONSES, **ours}


async def _optional_user(connection: HTTPConnection) -> Any:
    return connection.scope["user"] if is_authenticated(connection) else None


async def _current_user(connection: HTTPConnection, session: _Session, bearer: _Bearer) -> Any:
    await check(connection, authenticated)
    return connection.scope["user"]


mark_guarded(_current_user, authenticated)

CurrentUser = Annotated[UserT, Depends(_current_user)]
"""`user: CurrentUser`, or `user: CurrentUser[Member]`: the logged-in user; nobody else gets in."""
OptionalUser = Annotated[UserT | None, Depends(_optional_user)]
"""`user: OptionalUser`, or `user: OptionalUser[Member]`: the same, or None; no guard."""


class StepBody(BaseModel):
    """A step that a login still needs; steps of one `requirement` are alternatives."""

    name: str
    requirement: str
    url: str


class ErrorDetail(BaseModel):
    """What went wrong: a code for programs, a message for people, codes by field, and the steps of `step_required`."""

    code: ErrorCode
    message: str
    fields: dict[str, list[str]] | None = None
    steps: list[StepBody] | None = None


class ErrorBody(BaseModel):
    """The one shape of asgiauth's errors, as `auth.exception_handlers` answers them."""

    detail: ErrorDetail


RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {
        "model": ErrorBody,
        "description": "Nobody is logged in.",
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    },
    403: {"model": ErrorBody, "description": "The user may not do this, or has to log in again for it."},
    503: {
        "model": ErrorBody,
        "description": "It cannot be told at the moment who is asking.",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}},
    },
}
"""For `responses=RESPONSES` of an operation, a router or the application, beside `auth.exception_handlers`. Where one
guard is meant, `guard.responses` of a `Requires` says what it asks for, and of the 404 of a missing object."""


def auth_router(auth: Auth[Any], *, html: bool = False, templates: Templates | None = None) -> APIRouter:
    """The JSON API as a router, documented: `app.include_router(auth_router(auth), prefix="/api/auth")`. It answers as
    `auth.json_routes` do, whose routes it has under the same names. With `html` it has the pages instead:
    `app.include_router(auth_router(auth, html=True), prefix="/auth")`; `templates` as for `auth.html_routes()`."""
    router = APIRouter(tags=["auth"])
    if html:
        router.routes.extend(auth.html_routes(templates))
        return router
    for action in auth.actions:
        router.add_api_route(
            f"/{action.path}",
            _endpoint(action),
            methods=[action.method],
            name=f"asgiauth_json_{action.name}",
            summary=action.summary or None,
            status_code=204 if action.shows is None else 200,
            response_class=Response,
            dependencies=[] if action.public else [Depends(_documented)],
            responses=_responses(action),
            openapi_extra=_input(action),
        )
    router.routes.extend(auth.feature_routes)
    return router


async def _documented(session: _Session, bearer: _Bearer) -> None:
    """The action asks for itself."""


def _endpoint(action: Action) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        return await answer(action, request)

    if action.public:
        return public(endpoint)
    mark_guarded(endpoint, action.guard)
    return endpoint


def _responses(action: Action) -> dict[int | str, dict[str, Any]]:
    described = {503: RESPONSES[503]["description"]}
    if is_unsafe(action.method):
        described[403] = "The request does not come from this site (`csrf_failed`)."
    if action.guard is not authenticated:
        described[403] = f"Asked for: `{action.guard.text}`."
    if not action.public or action.fields:
        described[401] = "Not logged in, wrong credentials, or one more step is needed."
    if action.public and action.fields:
        described[429] = "Too many attempts."
    if action.path_fields:
        described[404] = "There is nothing of that name, or it is not yours."
    if action.parts:
        described[422] = "`include` names what there is not."
    if action.fields and action.method == "GET":
        described |= {404: "There is nothing of that name.", 422: "Some fields are missing or not valid."}
    elif action.fields:
        described |= {
            400: "The body is no JSON object.",
            413: "The body is too large.",
            415: "The body is not `application/json`.",
            422: "Some fields are missing or not valid.",
        }
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody, "description": text} for status, text in described.items()
    }
    if action.shows is not None:
        responses[200] = {"description": action.summary, "content": {"application/json": {"schema": action.shows}}}
    return responses


def _input(action: Action) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in action.path_fields
    ]
    if action.parts:
        names = {"type": "array", "items": {"type": "string", "enum": list(action.parts)}}
        parameters.append({"name": "include", "in": "query", "explode": False, "required": False, "schema": names})
    if action.method == "GET":
        parameters += [
            {"name": name, "in": "query", "required": field.required, "schema": _schema(field)}
            for name, field in action.fields.items()
        ]
    if parameters:
        extra["parameters"] = parameters
    if action.fields and action.method != "GET":
        schema = {
            "type": "object",
            "properties": {name: _schema(field) for name, field in action.fields.items()},
            "required": [name for name, field in action.fields.items() if field.required],
            "additionalProperties": False,
        }
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return extra


def _schema(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": {str: "string", bool: "boolean", int: "integer"}[field.type]}
    if field.max_length:
        schema["maxLength"] = field.max_length
    if field.secret:
        schema |= {"format": "password", "writeOnly": True}
    return schema
