"""Notes as a JSON API, with tables of its own beside asgiauth's; authors may show a note to others. Run it in the
directory above `examples`: uvicorn examples.fastapi_api.app:app

DATABASE_URL is an SQLAlchemy URL: sqlite+aiosqlite:///notes.db, postgresql+asyncpg://..., mysql+asyncmy://...
"""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Delete, ForeignKey, String, Text, Update, delete, event, select, update
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.responses import JSONResponse, Response

from asgiauth import Auth, Permission, Ref, Resource, Rule, User, crud, public
from asgiauth.exceptions import InvalidField, NotFound, Unavailable, UserExists
from asgiauth.fastapi import RESPONSES, CurrentUser, ErrorBody, OptionalUser, Requires, auth_router
from asgiauth.guards import perm, protect, staff

DATABASE = os.environ.get("DATABASE_URL") or f"sqlite+aiosqlite:///{Path(tempfile.mkdtemp()) / 'notes.db'}"


class Base(DeclarativeBase):
    """The metadata of the application, in which asgiauth's tables are too: a foreign key may refer to them."""


class Profile(Base):
    __tablename__ = "profile"

    user_id: Mapped[int] = mapped_column(ForeignKey("auth_user.id", ondelete="CASCADE"), primary_key=True)
    nickname: Mapped[str] = mapped_column(String(50), unique=True)


class Note(Base):
    __tablename__ = "note"
    __table_args__ = ({"sqlite_autoincrement": True},)  # else a new note may get the id, and the readers, of an old one

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("auth_user.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(Text)


engine = create_async_engine(DATABASE, pool_pre_ping=True)  # a connection that has died is replaced, not used
new_session = async_sessionmaker(engine, expire_on_commit=False)
auth = Auth(
    engine,
    secret_keys=[secrets.token_urlsafe(48)],  # yours come from the environment, or every restart logs everybody out
    base_url="http://127.0.0.1:8000",
    metadata=Base.metadata,
    permissions=[
        *crud("notes", "note", actions=["view", "change", "delete"]),
        Permission("notes.list_members", "Can list members"),
    ],
    resources=[Resource("notes.note", table=Note, type=Note)],
    rules=[
        Rule(
            f"notes.{action}_note",
            check=lambda user, note: note.user_id == user.id,
            where=lambda user, t: t.c.user_id == user.id,
        )
        for action in ("view", "change", "delete")
    ],
)


@event.listens_for(engine.sync_engine, "connect")
def enforce_foreign_keys(connection: Any, record: Any) -> None:
    """SQLite has to be told, on each connection."""
    if engine.dialect.name == "sqlite":
        connection.execute("PRAGMA foreign_keys=ON")


async def session() -> AsyncIterator[AsyncSession]:
    async with new_session() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
Name = Annotated[str, Field(max_length=254)]
Line = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f]+$")]
Words = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"^[^\x00]+$")]


class Registration(BaseModel):
    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(max_length=150)]
    email: Annotated[str, Field(max_length=254)] = ""
    password: str
    nickname: Line


class Member(BaseModel):
    id: int
    username: str
    email: str
    nickname: str


class Draft(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Words


class NoteOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    text: str


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: these answers have the one shape of asgiauth's errors."""
    return {status: {"model": ErrorBody} for status in statuses}


api = APIRouter(responses={**RESPONSES, **errors(400, 422)})


@api.get("/")
@public
async def home(user: OptionalUser) -> dict[str, str]:
    return {"hello": user.username if user else "stranger"}


@api.post("/register", status_code=201, responses=errors(409))
@public
async def register(wish: Registration, session: Session) -> Member:
    """The user and the profile are created together, or neither."""
    await auth.passwords.validate(wish.password)
    hashed = await auth.passwords.hash(wish.password)  # takes a while: never in a transaction
    try:
        async with session.begin():
            async with auth.joined(session):
                user = await auth.users.create(wish.username, email=wish.email, password=hashed)
            session.add(Profile(user_id=user.id, nickname=wish.nickname))
    except IntegrityError:
        raise UserExists("nickname") from None
    return Member(id=user.id, username=user.username, email=user.email, nickname=wish.nickname)


@api.get("/me", responses=errors(404))
async def me(user: CurrentUser, session: Session) -> Member:
    profile = await session.get(Profile, user.id)
    if profile is None:
        raise NotFound("this user was not registered here")
    return Member(id=user.id, username=user.username, email=user.email, nickname=profile.nickname)


@api.get("/notes")
async def list_notes(
    user: CurrentUser,
    session: Session,
    after: Annotated[Id | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[NoteOut]:
    """One's own and what others have shown, in order; the next page is `after` the last id of this one."""
    seen = await auth.permissions.where(user, "notes.view_note", Note)
    page = select(Note).where(seen, Note.id > (after or 0)).order_by(Note.id).limit(limit)
    return [NoteOut.model_validate(note) for note in await session.scalars(page)]


@api.post("/notes", status_code=201)
async def write_note(draft: Draft, user: CurrentUser, session: Session) -> NoteOut:
    note = Note(user_id=user.id, text=draft.text)
    session.add(note)
    await session.commit()
    return NoteOut.model_validate(note)


@api.get("/notes/{note_id}", responses=errors(404))
async def read_note(note_id: Id, user: CurrentUser, session: Session) -> NoteOut:
    return NoteOut.model_validate(await find(session, note_id, user, "notes.view_note"))


@api.put("/notes/{note_id}", responses=errors(404))
async def rewrite_note(note_id: Id, draft: Draft, user: CurrentUser, session: Session) -> NoteOut:
    mine = await auth.permissions.where(user, "notes.change_note", Note)
    await change(session, update(Note).where(Note.id == note_id, mine).values(text=draft.text))
    return NoteOut(id=note_id, text=draft.text)


@api.delete("/notes/{note_id}", status_code=204, responses=errors(404))
async def delete_note(note_id: Id, user: CurrentUser, session: Session) -> None:
    mine = await auth.permissions.where(user, "notes.delete_note", Note)
    await change(session, delete(Note).where(Note.id == note_id, mine))
    await auth.permissions.forget(Ref("notes.note", note_id))


@api.put("/notes/{note_id}/readers/{username}", status_code=204, responses=errors(404))
async def show_note(note_id: Id, username: Name, user: CurrentUser, session: Session) -> None:
    """Whoever may change a note may show it to another member."""
    note = await find(session, note_id, user, "notes.change_note")
    await auth.permissions.grant(await member_called(username), "notes.view_note", note, by=user)


@api.delete("/notes/{note_id}/readers/{username}", status_code=204, responses=errors(404))
async def hide_note(note_id: Id, username: Name, user: CurrentUser, session: Session) -> None:
    note = await find(session, note_id, user, "notes.change_note")
    await auth.permissions.revoke(await member_called(username), "notes.view_note", note, by=user)


async def find(session: AsyncSession, note_id: int, user: User, name: str) -> Note:
    """A note that one may not see is as unknown as one that never was."""
    allowed = await auth.permissions.where(user, name, Note)
    note = await session.scalar(select(Note).where(Note.id == note_id, allowed))
    if note is None:
        raise NotFound("there is no such note")
    return note


async def member_called(username: str) -> User:
    member = await auth.users.find(username)
    if member is None:
        raise NotFound("there is no such member")
    return member


async def change(session: AsyncSession, statement: Update | Delete) -> None:
    """One conditional statement: of a note that is deleted meanwhile nothing is written."""
    changed: Any = await session.execute(statement)
    await session.commit()
    if not changed.rowcount:
        raise NotFound("there is no such note")


@api.get("/users", dependencies=[Depends(Requires(staff | perm("notes.list_members")))])
async def list_users(after: Annotated[Id | None, Query()] = None) -> list[User]:
    """For the staff, and whom it is granted to. A `User` has no field for the password hash: return it as it is."""
    return list((await auth.users.page(after=after)).items)


async def answer_400(request: Request, error: HTTPException) -> Response:
    """A body that is no text at all."""
    return JSONResponse({"detail": {"code": "invalid_body", "message": error.detail}}, 400)


async def answer_422(request: Request, error: RequestValidationError) -> Response:
    """What FastAPI finds wrong, in the shape of all other errors."""
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"][1:]) or "body"
    return await auth.exception_handlers[InvalidField](request, InvalidField(field, problem["type"]))


async def answer_503(request: Request, error: Exception) -> Response:
    """The database is away, as asgiauth answers for its own queries: nobody is let in, and nobody is logged out."""
    outage = Unavailable(f"the database cannot be reached: {type(error).__name__}")  # the rest quotes what was sent
    return await auth.exception_handlers[Unavailable](request, outage)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with auth.lifespan(app):
        await auth.create_tables()
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)  # yours are migrated, one day
        yield
    await engine.dispose()


app = protect(
    FastAPI(
        title="Notes",
        middleware=auth.middleware,
        exception_handlers={
            **auth.exception_handlers,
            400: answer_400,
            RequestValidationError: answer_422,
            **dict.fromkeys((OSError, OperationalError, InterfaceError), answer_503),
        },
        lifespan=lifespan,
    )
)
app.include_router(api)
app.include_router(auth_router(auth), prefix="/api/auth")
