"""The actions as pages: the same that the JSON API speaks, for people, who need no JavaScript."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from ..exceptions import (
    ConfigurationError,
    InvalidField,
    LoginRefused,
    NotFound,
    PasswordRejected,
    TooManyAttempts,
    UserExists,
)
from ..passwords import Passwords
from ..texts import Languages, Texts
from .actions import Action, Field, Page
from .body import Refused, read_body
from .core_actions import InvalidCredentials
from .csrf import origin_of
from .denial import denial, denied
from .errors import respond, responds_to
from .forgery import unforged
from .json import json_route
from .marks import mark_guarded, public
from .redirects import relative_path, safe_next
from .request_auth import LoggedIn, RequestAuth, StepRequired
from .templates import Templates

__all__ = ["Face", "html_routes"]

MAX_FIELDS = 64
"""Of a form (D-35)."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of whatever our pages answer; the application's are its own affair (D-24, D-26)."""

METER = "password_strength"
"""The action that the pages' script asks: JSON, beside them because nobody else need have the JSON API."""

Problems = Mapping[str, Sequence[str]]
"""What to tell about each field, and under "" about the whole."""


def html_routes(actions: Sequence[Action], face: Face) -> list[BaseRoute]:
    """A route for each page, relative to where they are mounted, under Django's names (row A11.1)."""
    routes: list[BaseRoute] = []
    # a path of words comes before one with a parameter: `sessions/revoke_others` before `sessions/{id}/revoke`
    for action in sorted(actions, key=lambda action: "{" in action.path):
        if action.name == METER:
            routes.append(json_route(action, METER))
        if action.page is None:
            continue
        routes.append(_route(_Endpoint(face, action, action.page), action.page.path, action.page.name))
        if action.page.done:
            path, name = f"{action.page.path}/done", action.page.done
            done = Action(name=name, path=path, method="GET", run=_nothing, public=action.public)
            title = f"{name}.title" if f"{name}.title" in face.texts else action.page.title
            page = Page(path=path, name=name, template="done.html", title=title)
            routes.append(_route(_Endpoint(face, done, page), path, name))
    return routes


def _route(endpoint: _Endpoint, path: str, name: str) -> Route:
    if endpoint.action.public:
        public(endpoint)
    else:
        mark_guarded(endpoint, endpoint.action.guard)
    return Route(f"/{path}", endpoint, name=name)


async def _nothing(auth: RequestAuth[Any], **path: str) -> None:
    """A page that only says that it worked has nothing to do."""


class _Invalid(Exception):
    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = problems


_TOLD: tuple[type[Exception], ...] = (InvalidCredentials, _Invalid, *responds_to)


class Face:
    """What all pages have in common."""

    def __init__(self, templates: Templates, passwords: Passwords, texts: Languages, logout_redirect_url: str) -> None:
        self.logout_redirect_url = logout_redirect_url
        self.texts = texts
        self.passwords = passwords
        self._templates = templates

    async def show(
        self, request: Request, page: Page, templates: Sequence[str], status: int = 200, **context: Any
    ) -> Response:
        auth: RequestAuth[Any] = request.scope["auth"]
        home = auth._link(auth._speaker.login_redirect_url)
        nonce = secrets.token_urlsafe(16)
        ours = {"nonce": nonce, "base": _base(request, page), "home": home, "auth": auth, "page": page}
        targets = (auth._speaker.login_url, auth._speaker.login_redirect_url, self.logout_redirect_url)
        headers = {"Content-Security-Policy": _policy(nonce, targets)}
        names = [f"asgiauth/{template}" for template in templates]
        return await self._templates.render(request, names, {**ours, **context}, status_code=status, headers=headers)

    async def error(
        self, request: Request, page: Page, code: str, status: int, headers: Mapping[str, str], **context: Any
    ) -> Response:
        """The page that says what went wrong."""
        t = _texts(request)
        text = t.problem(code, wait=t.wait(int(headers.get("Retry-After", 0))))
        response = await self.show(request, page, ["error.html"], status, text=text, **context)
        response.headers.update(headers)
        return response

    async def error_page(self, request: Request, plain: Response) -> Response:
        """What the middleware answers, `plain` to a script: with the same status and headers, wherever it happens."""
        auth: RequestAuth[Any] = request.scope["auth"]
        base = auth._link(auth._speaker.login_url).rpartition("/")[0]
        headers = {name: plain.headers[name] for name in ("Retry-After", "Vary") if name in plain.headers}
        page = Page(path="", name="error", title="error.title")
        return _protected(await self.error(request, page, _code(plain), plain.status_code, headers, back="", base=base))


class _Endpoint:
    """One page: GET shows it, POST does what it is for."""

    def __init__(self, face: Face, action: Action, page: Page) -> None:
        self.action = action
        self._face = face
        self._page = page
        self._templates = [f"{page.name}.html", page.template]  # its own before the one that it shares with others
        self._is_form = bool(action.fields)
        self._is_question = self._is_form and action.method == "GET"
        self._sets_password = any(field.is_new_password for field in action.fields.values())
        shown = ["GET", "HEAD"] if action.method == "GET" or self._is_form else []
        self._allowed = [*shown, *([] if action.method == "GET" else ["POST"])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        auth = scope.get("auth")
        if not isinstance(auth, RequestAuth):
            raise ConfigurationError("the pages need the middleware: Starlette(middleware=auth.middleware)")
        response = _protected(await self._answer(request, auth))
        await response(scope, receive, send)

    async def _answer(self, request: Request, auth: RequestAuth[Any]) -> Response:
        if request.method not in self._allowed:
            return await self._error(request, "method_not_allowed", 405, Allow=", ".join(self._allowed))
        if _is_embedded(request.headers):
            return await self._error(request, "permission_denied", 403)
        if not self.action.public and (refusal := await self.action.guard.refusal(request)):
            if auth.scopes:
                return await self._refused(request, await denied(request, self.action.guard, refusal))
            if request.method == "POST":  # the session has ended since the page was loaded
                return RedirectResponse(auth._link(auth._speaker.login_url), 303)
            return respond(denial(request, refusal))
        return await (self._submit(request, auth) if request.method == "POST" else self._show(request, auth))

    async def _show(self, request: Request, auth: RequestAuth[Any]) -> Response:
        if self._is_question and any(request.query_params.get(name) for name in self.action.fields):
            return await self._answered(request, auth, request.query_params)
        if self._is_form:
            return await self._form(request, request.query_params)
        try:
            result = await self.action.run(auth, **_in_path(self.action, request))
        except responds_to as error:
            return await self._refused(request, error)
        return await self._face.show(request, self._page, self._templates, result=result)

    async def _answered(self, request: Request, auth: RequestAuth[Any], values: Mapping[str, str]) -> Response:
        """The form, and below it the answer to what it asks."""
        try:
            fields = _fields(self.action.fields, values)
            result = await self.action.run(auth, **fields, **_in_path(self.action, request))
        except _TOLD as error:
            return await self._problem(request, error, values)
        return await self._form(request, values, result=result)

    async def _form(
        self,
        request: Request,
        values: Mapping[str, str],
        problems: Problems | None = None,
        status: int = 200,
        result: Any = None,
    ) -> Response:
        return await self._face.show(
            request,
            self._page,
            self._templates,
            status,
            target=self._own_path(request),
            method="get" if self._is_question else "post",
            result=result,
            fields=self.action.fields,
            values=values,
            problems=problems or {},
            rules=self._face.passwords.help_texts(_texts(request)) if self._sets_password else [],
            meter=f"{_base(request, self._page)}/{METER}",
            next=safe_next(values.get("next"), ""),
        )

    async def _submit(self, request: Request, auth: RequestAuth[Any]) -> Response:
        values: Mapping[str, str] = {}
        try:
            unforged_request = await unforged(auth, request)
            if unforged_request is None:
                return await self._error(request, "csrf_failed", 403, Vary="Sec-Fetch-Site, Origin")
            values = await _read(unforged_request)
            fields = _fields(self.action.fields, values)
            outcome = await self.action.run(auth, **fields, **_in_path(self.action, request))
        except Refused as refused:
            return await self._error(request, refused.code, refused.status)
        except _TOLD as error:
            return await self._problem(request, error, values)
        return self._after(request, auth, outcome, values)

    async def _problem(self, request: Request, error: Exception, values: Mapping[str, str]) -> Response:
        """The form again with what is wrong, but for its secrets; where there is no form, a page that says it."""
        t = _texts(request)
        told = t.problem
        problems: Problems = {}
        status, headers = 422, {}
        match error:
            case _Invalid(problems=codes):
                problems = {name: [told(code, name)] for name, code in codes.items()}
            case InvalidCredentials():
                problems, status = {"": [told("invalid_credentials")]}, 200  # as a wrong one always was (D-20)
            case TooManyAttempts(retry_after=seconds):
                problems, status = {"": [told("too_many_attempts", wait=t.wait(seconds))]}, 429
                headers = {"Retry-After": str(seconds)}
            case LoginRefused() if self._page.name == "login":
                problems, status = {"": [told("login_refused", "login")]}, 200
            case PasswordRejected(field=field, reasons=reasons):
                problems = {field: [told(reason.code, field, **reason.params) for reason in reasons]}
            case InvalidField(field=field, code=code, params=params):
                problems = {field: [told(code, field, **params)]}
            case UserExists(field=field):
                problems = {field: [told("taken", field)]}
            case NotFound() if self._is_question:
                problems, status = {"": [told("not_found", self._page.name)]}, 404
        if not problems or not self._is_form:
            return await self._refused(request, error)
        general = [text for name, found in problems.items() if name not in self.action.fields for text in found]
        shown = {name: text for name, text in values.items() if not self._is_secret(name)}
        response = await self._form(request, shown, {**problems, "": general}, status)
        response.headers.update(headers)
        return response

    async def _refused(self, request: Request, error: Exception) -> Response:
        """A domain error, with the status and the headers that it has on the JSON side."""
        auth: RequestAuth[Any] = request.scope["auth"]
        plain = respond(error)
        if plain.status_code == 303:
            return plain
        code = _code(plain)
        headers = {name: plain.headers[name] for name in ("Retry-After", "WWW-Authenticate") if name in plain.headers}
        if code == "login_refused":  # a step whose login is over
            return await self._error(request, code, plain.status_code, auth._link(auth._speaker.login_url), **headers)
        return await self._error(request, code, plain.status_code, **headers)

    async def _error(self, request: Request, code: str, status: int, back: str = "", **headers: str) -> Response:
        if not back and request.method == "POST" and (self._is_form or self._page.then):
            back = self._own_path(request) if self._is_form else f"{_base(request, self._page)}/{self._page.then}"
        return await self._face.error(request, self._page, code, status, headers, back=back)

    def _after(self, request: Request, auth: RequestAuth[Any], outcome: Any, values: Mapping[str, str]) -> Response:
        wanted = values.get("next") or request.query_params.get("next")
        if isinstance(outcome, (LoggedIn, StepRequired)):
            return auth._after_login(outcome, wanted)
        if self._page.done:
            return RedirectResponse(f"{self._own_path(request)}/done", 303)
        if self._page.then:
            return RedirectResponse(f"{_base(request, self._page)}/{self._page.then}", 303)
        target = safe_next(wanted, auth._link(self._face.logout_redirect_url))
        return RedirectResponse(target, 303, headers={"Clear-Site-Data": '"storage"'} if auth.session is None else {})

    def _own_path(self, request: Request) -> str:
        path = {name: quote(value, safe="") for name, value in _in_path(self.action, request).items()}
        return f"{_base(request, self._page)}/{self._page.path.format(**path)}"

    def _is_secret(self, name: str) -> bool:
        return name in self.action.fields and self.action.fields[name].secret


def _texts(request: Request) -> Texts:
    auth: RequestAuth[Any] = request.scope["auth"]
    return auth._speaker.texts_for(request)


def _code(plain: Response) -> str:
    """Of one of our JSON errors."""
    return str(json.loads(bytes(plain.body))["detail"]["code"])


def _protected(response: Response) -> Response:
    for name, value in {**HEADERS, "Content-Security-Policy": _policy()}.items():
        response.headers.setdefault(name, value)
    return response


def _in_path(action: Action, request: Request) -> dict[str, str]:
    return {name: request.path_params[name] for name in action.path_fields}


def _fields(schema: Mapping[str, Field], values: Mapping[str, str]) -> dict[str, Any]:
    """The input of the action. Raises `_Invalid`."""
    fields: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, field in schema.items():
        value = values.get(name, "")
        if field.type is bool:
            fields[name] = bool(value)
        elif not value:
            if field.required:
                problems[name] = "required"
        elif field.max_length and len(value) > field.max_length:
            problems[name] = "too_long"
        else:
            fields[name] = value
    if problems:
        raise _Invalid(problems)
    return fields


_FORM = "application/x-www-form-urlencoded"


async def _read(request: Request) -> Mapping[str, str]:
    """A form, each field once. Raises `Refused`."""
    body = await read_body(request, _FORM, unless_said=_FORM)  # a form without fields has no type
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refused("invalid_body", 400) from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Refused("invalid_body", 400)
    return values


def _base(request: Request, page: Page) -> str:
    """Where the pages are, mounted or included (FastAPI) below whatever prefix; `page` is the one asked for."""
    scope = request.scope
    above = scope["path"].removesuffix("/" + page.path.format(**request.path_params))
    roots = {name: scope[name] for name in ("root_path", "app_root_path") if name in scope}
    return relative_path({"path": f"{above}/", **roots}).rstrip("/")


def _is_embedded(headers: Mapping[str, str]) -> bool:
    """As a frame, a script, an image; or fetched by another site (ASVS 3.2.1, 3.5.8). Older browsers do not say."""
    if headers.get("sec-fetch-dest", "document") not in ("document", "empty"):
        return True
    return headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode", "navigate") != "navigate"


def _policy(nonce: str = "", targets: Sequence[str] = ()) -> str:
    """The Content-Security-Policy. `targets` are where our forms lead to: a browser stops a redirect to another site
    too, unless `form-action` names it."""
    own = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    forms = " ".join(["'self'", *sorted({origin_of(url) for url in targets if "://" in url})])
    return (
        f"default-src 'none'; script-src {own}; style-src {own}; img-src 'self' data:; connect-src 'self'; "
        f"form-action {forms}; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )
