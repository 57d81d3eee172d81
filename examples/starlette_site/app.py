"""A notice board: members write, editors publish, everybody reads. Authors change and take down their own notices,
editors everybody's. Run it: make demo"""

import atexit
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, Permission, Resource, Rule, crud, login_required, permission_required, public, requires
from asgiauth.exceptions import Unavailable
from asgiauth.guards import perm, protect


def scratch() -> Path:
    """A directory that is gone when this process ends."""
    path = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


HERE = Path(__file__).parent
DATABASE = os.environ.get("DATABASE_URL") or f"sqlite+aiosqlite:///{scratch() / 'board.db'}"
PORT = int(os.environ.get("PORT", "8000"))
VIEW, CHANGE, DELETE = (f"board.{action}_notice" for action in ("view", "change", "delete"))
PUBLISH = "board.publish_notice"


@dataclass(frozen=True)
class Notice:
    id: int
    author_id: int
    title: str
    text: str
    published: bool


metadata = MetaData()
notices = Table(
    "notice",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("author_id", ForeignKey("auth_user.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("title", String(100), nullable=False),
    Column("text", Text, nullable=False),
    Column("published", Boolean, nullable=False),
    sqlite_autoincrement=True,  # else a new notice may get the id, and the grants, of an old one
)


def own(name: str) -> Rule:
    """Authors may do that with what they have written: said in Python and in SQL."""
    return Rule(
        name,
        check=lambda user, notice: notice.author_id == user.id,
        where=lambda user, t: t.c.author_id == user.id,
    )


engine = create_async_engine(DATABASE, pool_pre_ping=True)  # a connection that has died is replaced, not used
auth = Auth(
    engine,
    # yours come from the environment, or every restart logs everybody out
    secret_keys=[os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48)],
    base_url=os.environ.get("BASE_URL", f"http://127.0.0.1:{PORT}"),
    metadata=metadata,
    permissions=[
        *crud("board", "notice", actions=["view", "change", "delete"]),
        Permission(PUBLISH, "Can publish notices", model="notice"),
    ],
    resources=[Resource("board.notice", table=notices, type=Notice)],
    rules=[
        own(VIEW),
        own(CHANGE),
        own(DELETE),
        Rule(
            VIEW,
            check=lambda user, notice: notice.published,
            where=lambda user, t: t.c.published,
            anonymous=True,
        ),
    ],
)
templates = auth.templates(HERE / "templates")
users = auth.tables.user


@public
async def board(request: Request) -> Response:
    """Visitors see what is published, authors their own, editors everything."""
    seen = await auth.permissions.where(request.user, VIEW, notices)
    return await listed(request, "board/board.html", seen)


@permission_required(PUBLISH)
async def waiting(request: Request) -> Response:
    """What editors have to look at."""
    return await listed(request, "board/waiting.html", notices.c.published.is_(False))


async def listed(request: Request, template: str, which: ColumnElement[bool]) -> Response:
    """One query, which also tells what this user may do with each notice."""
    may_change = await auth.permissions.where(request.user, CHANGE, notices)
    may_delete = await auth.permissions.where(request.user, DELETE, notices)
    statement = (
        select(notices, users.c.username, may_change.label("may_change"), may_delete.label("may_delete"))
        .join(users, users.c.id == notices.c.author_id)
        .where(which)
        .order_by(notices.c.id.desc())
        .limit(50)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return await templates.render(request, template, {"notices": rows})


async def the_notice(connection: HTTPConnection) -> Notice | None:
    """What a guard asks about, and None is answered with 404. The view finds it in `request.state`."""
    row, wanted = None, connection.path_params["id"]
    if wanted < 2**31:  # more than that the column cannot be compared with
        async with engine.connect() as database:
            row = (await database.execute(select(notices).where(notices.c.id == wanted))).first()
    notice = connection.state.notice = None if row is None else Notice(**row._mapping)
    return notice


def the_row(request: Request) -> ColumnElement[bool]:
    notice: Notice = request.state.notice
    return notices.c.id == notice.id


@login_required
async def write(request: Request) -> Response:
    """Members write."""
    return await form(request, insert(notices).values(author_id=request.user.id))


@requires(perm(CHANGE, obj=the_notice))
async def change(request: Request) -> Response:
    """The author or an editor."""
    return await form(request, update(notices).where(the_row(request)), request.state.notice)


async def form(request: Request, save: Any, notice: Notice | None = None) -> Response:
    """What an editor has written is published; what others have waits for one."""
    problem, title, text = "", notice.title if notice else "", notice.text if notice else ""
    if request.method == "POST":
        async with request.form() as sent:
            title, text = str(sent.get("title", "")).strip(), str(sent.get("text", "")).strip()
        if title and text and len(title) <= 100 and len(text) <= 5000:
            published = await request.auth.has_perm(PUBLISH)
            await carry_out(save.values(title=title, text=text, published=published))
            return RedirectResponse(request.url_for("board").path, 303)
        problem = "A notice needs a title of at most 100 characters, and a text of at most 5,000."
    context = {"problem": problem, "title": title, "text": text, "is_new": notice is None}
    return await templates.render(request, "board/write.html", context, status_code=422 if problem else 200)


@requires(perm(PUBLISH, obj=the_notice))
async def publish(request: Request) -> Response:
    await carry_out(update(notices).where(the_row(request)).values(published=True))
    return RedirectResponse(request.url_for("waiting").path, 303)


@requires(perm(DELETE, obj=the_notice))
async def take_down(request: Request) -> Response:
    """The author or an editor."""
    await carry_out(delete(notices).where(the_row(request)))
    await auth.permissions.forget(request.state.notice)
    return RedirectResponse(request.url_for("board").path, 303)


async def carry_out(statement: Any) -> None:
    """404 where the row is gone meanwhile."""
    async with engine.begin() as connection:
        if not (await connection.execute(statement)).rowcount:
            raise HTTPException(404)


async def no_database(request: Request, error: Exception) -> Response:
    """503, as asgiauth answers for its own queries: nobody is let in, and nobody is logged out."""
    outage = Unavailable(f"the database cannot be reached: {type(error).__name__}")  # the rest quotes what was sent
    return await auth.exception_handlers[Unavailable](request, outage)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with auth.lifespan(app):
        await auth.create_tables()
        async with engine.begin() as connection:
            await connection.run_sync(notices.create, checkfirst=True)
        await seed()
        yield
    await engine.dispose()


async def seed() -> None:
    """Two members with a notice each and an editor, where there are none yet; prints how to log in."""
    members = {
        "ann": ("From the garden", "Three pears and a bag of walnuts are on the wall. Help yourself."),
        "bob": ("Choir", "We still need a bass. Thursdays at eight, in the old school; nobody has to sing alone."),
        "eve": None,
    }
    editors = await auth.groups.get("editors") or await auth.groups.create("editors", [VIEW, CHANGE, DELETE, PUBLISH])
    for name, notice in members.items():
        user, password = await auth.users.find(name), secrets.token_urlsafe(9)
        if user is None:
            user = await auth.users.create(
                name, password=password, first_name=name.capitalize(), is_staff=notice is None
            )
            if notice is None:
                await auth.groups.add(user, editors.name)
            else:
                title, text = notice
                await carry_out(insert(notices).values(author_id=user.id, title=title, text=text, published=True))
        else:
            await auth.users.set_password(user, password)
        print(f"    user name: {name}   password: {password}{'' if notice else '   (an editor)'}")
    print(f"\n    http://127.0.0.1:{PORT}/\n", flush=True)


app = protect(
    Starlette(
        routes=[
            Route("/", board),
            Route("/write", write, methods=["GET", "POST"]),
            Route("/waiting", waiting),
            Route("/notices/{id:int}/change", change, methods=["GET", "POST"]),
            Route("/notices/{id:int}/publish", publish, methods=["POST"]),
            Route("/notices/{id:int}/take-down", take_down, methods=["POST"]),
            Mount("/auth", routes=auth.html_routes(templates)),
            Mount("/api/auth", routes=auth.json_routes),
        ],
        middleware=auth.middleware,
        exception_handlers={
            **auth.exception_handlers,
            **dict.fromkeys((OSError, OperationalError, InterfaceError), no_database),
        },
        lifespan=lifespan,
    )
)

if __name__ == "__main__":
    config = uvicorn.Config(app, host="127.0.0.1", port=PORT, log_level="warning")
    listening = config.bind_socket()  # before anything is printed: where the port is taken, this ends here
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # an end like any other, with what atexit does
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])
