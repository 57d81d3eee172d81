"""Jinja templates: ours, and those of the application that come before them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ..exceptions import MissingDependency
from ..passwords import HashSummary
from ..permissions.explanation import printable
from ..texts import Texts
from .perms import Perms
from .predicates import auth_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["Templates", "context_processor"]

OURS = Path(__file__).parent.parent / "templates"


def context_processor(request: Request) -> dict[str, Any]:
    """`user`, `perms` and `csrf_input()` for Starlette's own templates: `Jinja2Templates(...,
    context_processors=[auth.context_processor])`. `perms` wants a guard, or `await request.auth.load_permissions()`,
    before. Raises `ConfigurationError` without the middleware."""
    auth = auth_of(request)
    return {
        "user": request.scope["user"],
        "perms": Perms(auth._permissions),
        "csrf_input": partial(csrf_input, request),
    }


def _url_for(request: Request, name: str, /, **path_params: Any) -> str:
    """The path of a route, below whatever prefix: no host, which a client could have made up (V-077)."""
    return request.url_for(name, **path_params).path


def csrf_input(request: Request) -> Markup:
    """The hidden field of a form that proves where it comes from."""
    from markupsafe import Markup

    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(request.scope["auth"].csrf_token)


class Templates:
    """`templates = auth.templates("templates")`, and `await templates.render(request, "page.html", {...})`.

    A template of the application takes the place of ours of the same name, such as `asgiauth/base.html`; one that is
    called `asgiauth/login.html` is for the page of that name alone. Ours can be extended, with `{% extends
    "asgiauth/form.html" %}`. Values are escaped. Raises `MissingDependency` without Jinja.
    """

    def __init__(self, directories: Sequence[str | os.PathLike[str]], describe: Callable[[str], HashSummary]) -> None:
        try:
            from jinja2 import Environment, FileSystemLoader
        except ImportError:
            raise MissingDependency("jinja2", "html") from None
        loader = FileSystemLoader([*directories, OURS])
        self.environment: Environment = Environment(
            loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self.environment.filters |= {"device": device_name, "printable": printable}
        self._describe = describe

    async def render(
        self,
        request: Request,
        name: str | Sequence[str],
        context: Mapping[str, Any] | None = None,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """The page as a response. In the template are `request`, `user`, `perms`, `csrf_input()`, `url_for(name)`,
        which gives a path, `t(key)`, which gives words in the language of the request,
        `render_password_as_hash(user.password)`, and `context`. Of several names the first that there is."""
        auth = auth_of(request)
        await auth.load_permissions()
        t = auth._speaker.texts_for(request)
        ours = {
            "request": request,
            "url_for": partial(_url_for, request),
            "t": t,
            "render_password_as_hash": partial(self._render_password_as_hash, t),
            **context_processor(request),
        }
        html = await run_in_threadpool(self._render, name, {**ours, **(context or {})})  # it reads files
        return HTMLResponse(html, status_code, headers)

    def _render(self, name: str | Sequence[str], context: Mapping[str, Any]) -> str:
        return self.environment.get_or_select_template([name] if isinstance(name, str) else list(name)).render(context)

    def _render_password_as_hash(self, t: Texts, encoded: str | None) -> Markup:
        """What a stored hash is made of, with salt and hash masked (Django row A13.3)."""
        from markupsafe import Markup

        found = self._describe(encoded or "")
        if not found.hash:
            return Markup("<p><strong>{}</strong></p>").format(t(f"hash.{found.algorithm}"))
        parts = {"algorithm": found.algorithm, **found.parameters, "salt": found.salt, "hash": found.hash}
        item = Markup("<strong>{}</strong>: <bdi>{}</bdi>")
        items = [item.format(t(f"hash.{name.replace(' ', '_')}"), value) for name, value in parts.items()]
        return Markup("<p>{}</p>").format(Markup(" ").join(items))


_BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def device_name(agent: str) -> str:
    """What a person would call it: "Firefox, Windows"; the first word of a program's own name; "" for nothing."""
    known = [next((name for part, name in names.items() if part in agent), "") for names in (_BROWSERS, _SYSTEMS)]
    return ", ".join(filter(None, known)) or agent.partition("/")[0][:40]
