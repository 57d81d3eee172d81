"""The actions as a JSON API: strict in what it takes, one shape in what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from ..exceptions import ConfigurationError
from .actions import Action, Field, by_path
from .body import Refused, read_body
from .core_actions import InvalidCredentials
from .denial import denied
from .errors import error_response, json_response, respond, responds_to
from .forgery import unforged
from .marks import mark_guarded, public
from .predicates import authenticated
from .request_auth import LoggedIn, RequestAuth, StepRequired

__all__ = ["answer", "json_route", "json_routes"]


def json_routes(actions: Sequence[Action]) -> list[BaseRoute]:
    """A route for each path, relative to where they are mounted, named after the first action there."""
    routes: list[BaseRoute] = []
    for path, same in by_path(actions).items():
        endpoint = _Methods(same)
        if all(action.public for action in same):
            public(endpoint)
        else:
            guards = {action.guard for action in same}
            mark_guarded(endpoint, guards.pop() if len(guards) == 1 else authenticated)  # each action asks for itself
        routes.append(Route(f"/{path}", endpoint, name=f"asgiauth_json_{same[0].name}"))
    return routes


def json_route(action: Action, path: str) -> Route:
    """A public action as JSON at another path, such as beside the pages that ask it; named after the action."""
    return Route(f"/{path}", public(_Methods([action])), name=action.name)


class _Methods:
    """One path: a method each, and every error in the one shape."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self.actions = {action.method: action for action in actions}
        heads = ["HEAD"] if "GET" in self.actions else []
        self._allowed = ", ".join(sorted([*self.actions, *heads]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        action = self.actions.get("GET" if request.method == "HEAD" else request.method)
        if action is None:
            response = error_response("method_not_allowed", 405, headers={"Allow": self._allowed})
        else:
            response = await answer(action, request)
        await response(scope, receive, send)


async def answer(action: Action, request: Request) -> Response:
    """Runs the action, and speaks its outcome or its error."""
    auth = request.scope.get("auth")
    if not isinstance(auth, RequestAuth):
        raise ConfigurationError("the JSON routes need the middleware: Starlette(middleware=auth.middleware)")
    try:
        unforged_request = await unforged(auth, request)
        if unforged_request is None:
            return error_response("csrf_failed", 403, headers={"Vary": "Sec-Fetch-Site, Origin"})
        if not action.public and not auth.scopes:
            return error_response("not_authenticated", 401)
        if not action.public and (refusal := await action.guard.refusal(request)):
            return respond(await denied(request, action.guard, refusal))
        fields = await _read(unforged_request, action) if action.fields else {}
        path = {name: request.path_params[name] for name in action.path_fields}
        parts = {"include": _included(request, action.parts)} if action.parts else {}
        outcome = await action.run(auth, **fields, **path, **parts)
    except Refused as refused:
        return error_response(refused.code, refused.status, fields=refused.fields)
    except InvalidCredentials:
        return error_response("invalid_credentials", 401)
    except responds_to as error:
        return respond(error)
    return _spoken(auth, outcome)


def _spoken(auth: RequestAuth[Any], outcome: Any) -> Response:
    if isinstance(outcome, LoggedIn):
        return json_response({"user": outcome.user.as_dict()})
    if isinstance(outcome, StepRequired):
        steps = [
            {"name": step.name, "requirement": step.requirement, "url": auth._step_url(step)} for step in outcome.steps
        ]
        return error_response("step_required", 401, steps=steps)
    if outcome is None:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return json_response(outcome, headers={"Vary": "Cookie"})


def _included(request: Request, parts: Sequence[str]) -> set[str]:
    """What `?include=` names, several with commas or several times. Raises `Refused`."""
    wanted = {part for value in request.query_params.getlist("include") for part in value.split(",") if part}
    if not wanted <= set(parts):
        raise Refused("invalid_fields", 422, {"include": ["unknown_field"]})
    return wanted


async def _read(request: Request, action: Action) -> dict[str, Any]:
    """The body as a JSON object, or the query, which fits the schema exactly: no other key, no other type, no key
    twice. What is blank in a query is not there, as in the form of a page."""
    schema = action.fields
    data = _in_query(request) if action.method == "GET" else await _in_body(request)
    problems = {key[:100]: ["unknown_field"] for key in data if key not in schema}
    for name, field in schema.items():
        if problem := _problem(field, data, name):
            problems[name] = [problem]
    if problems:
        raise Refused("invalid_fields", 422, problems)
    return data


def _in_query(request: Request) -> dict[str, Any]:
    pairs = request.query_params.multi_items()
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise Refused("invalid_fields", 422, {name[:100]: ["invalid"] for name in twice})
    return {name: value for name, value in pairs if value}


async def _in_body(request: Request) -> dict[str, Any]:
    body = await read_body(request, "application/json")
    try:
        data = json.loads(body.decode(), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("invalid_body", 400) from None
    if not isinstance(data, dict):
        raise Refused("invalid_body", 400)
    return data


def _problem(field: Field, data: Mapping[str, Any], name: str) -> str | None:
    if name not in data:
        return "required" if field.required else None
    value = data[name]
    if type(value) is not field.type:
        return "invalid_type"
    return "too_long" if field.max_length and len(value) > field.max_length else None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key appears twice")
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
