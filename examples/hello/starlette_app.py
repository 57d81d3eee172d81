"""The smallest site with a login, its form written by hand. Run it: python examples/hello/starlette_app.py"""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, login_required

DATABASE = os.environ.get("ASGIAUTH_DATABASE_URL") or f"sqlite:///{Path(tempfile.mkdtemp()) / 'hello.db'}"

auth = Auth(
    DATABASE,
    secret_keys=[secrets.token_urlsafe(48)],  # yours come from the environment, or every restart logs everybody out
    base_url="http://127.0.0.1:8000",
    login_url="/login",
)


async def home(request: Request) -> Response:
    if request.user.is_authenticated:
        return page(f"<p>You are {escape(request.user.display_name)}.</p>", MEMBERS, logout_form(request))
    return page("<p>You are not logged in.</p>", MEMBERS, '<p><a href="/login">Log in</a></p>')


@login_required
async def members(request: Request) -> Response:
    return page(
        f"<p>Welcome, {escape(request.user.display_name)}. Only members see this page.</p>", logout_form(request)
    )


async def login(request: Request) -> Response:
    if request.method == "GET":
        return page(login_form(request))
    form = await request.form()
    user = await request.auth.authenticate(username=str(form.get("username")), password=str(form.get("password")))
    if user is None:
        return page('<p role="alert">Invalid username or password.</p>', login_form(request))
    answer: Response = request.auth.redirect_after_login(await request.auth.login(user))
    return answer


async def logout(request: Request) -> Response:
    await request.auth.logout()
    return RedirectResponse("/", 303)


MEMBERS = '<p><a href="/members">The members\' page</a></p>'


def csrf_input(request: Request) -> str:
    """For older browsers, which do not say that this site itself sends the form."""
    return f'<input type="hidden" name="csrf_token" value="{request.auth.csrf_token}">'


def logout_form(request: Request) -> str:
    return f'<form method="post" action="/logout">{csrf_input(request)}<button>Log out</button></form>'


def login_form(request: Request) -> str:
    return f"""<form method="post">{csrf_input(request)}
<p><label>User name <input name="username" autocomplete="username" required></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<button>Log in</button></form>"""


def page(*parts: str) -> HTMLResponse:
    return HTMLResponse(f'<!doctype html><html lang="en"><title>Hello</title><h1>Hello</h1>{"".join(parts)}</html>')


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with auth.lifespan(app):
        await auth.create_tables()
        password = secrets.token_urlsafe(12)
        demo = await auth.users.find("demo")
        if demo is None:
            await auth.users.create("demo", password=password)
        else:
            await auth.users.set_password(demo, password)
        print(f"\n    http://127.0.0.1:8000/   user name: demo   password: {password}\n", flush=True)
        yield


app = Starlette(
    routes=[
        Route("/", home),
        Route("/members", members),
        Route("/login", login, methods=["GET", "POST"]),
        Route("/logout", logout, methods=["POST"]),
        Mount("/api/auth", routes=auth.json_routes),
    ],
    middleware=auth.middleware,
    exception_handlers=auth.exception_handlers,
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=8000)
