"""What the tests of the pages share: a site that has them, and a parser that sees what a browser would."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth
from asgiauth.http.templates import Templates

PASSWORD = "correct horse"
LOGIN, LOGOUT, SESSIONS = "/auth/login", "/auth/logout", "/auth/sessions"
CHANGE, CHANGED = "/auth/password_change", "/auth/password_change/done"
BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def home(request: Request) -> Response:
    return PlainTextResponse(request.user.username or "nobody")


def site(auth: Auth, *routes: Any, templates: Templates | None = None, **options: Any) -> Starlette:
    """The pages at `/auth`, and `/`, which says who asks."""
    routes = (*routes, Route("/", home, name="home"), Mount("/auth", routes=auth.html_routes(templates)))
    settings = {"middleware": auth.middleware, "exception_handlers": auth.exception_handlers, **options}
    return Starlette(routes=routes, **settings)


class Page(HTMLParser):
    """`elements`, each a name and its attributes; the text of the alert; the title."""

    def __init__(self, answer: httpx2.Response) -> None:
        super().__init__()
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self._texts: list[tuple[str, str]] = []
        self._open: list[tuple[str, str]] = []
        self.feed(answer.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice: <{tag} {attrs}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self._open.append((tag, dict(attrs).get("role") or tag))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag, "every element is closed"

    def handle_data(self, data: str) -> None:
        if data.strip():
            around = ["", *(name for _, name in self._open)]
            self._texts.append(("alert" if "alert" in around else around[-1], data.strip()))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    @property
    def outline(self) -> list[tuple[str, list[str]]]:
        """Each element with the names of its attributes: what no text may change."""
        return [(tag, list(attributes)) for tag, attributes in self.elements]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def inputs(self) -> dict[str, dict[str, str | None]]:
        return {str(one["name"]): one for one in self.all("input") if "name" in one}

    def hidden(self) -> dict[str, str]:
        """What a browser sends along with the form."""
        return {name: str(one["value"]) for name, one in self.inputs().items() if one.get("type") == "hidden"}

    def texts(self, around: str = "") -> list[str]:
        return [text for where, text in self._texts if around in ("", where)]

    @property
    def alert(self) -> str:
        return " ".join(self.texts("alert"))


async def log_in(browser: httpx2.AsyncClient, username: str = "ann", **more: str) -> httpx2.Response:
    answer = await browser.post(LOGIN, data={"username": username, "password": PASSWORD, **more})
    assert answer.status_code == 303
    return answer


def where(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.headers["location"]
