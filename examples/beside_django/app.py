"""An application with asgiauth on the database of the Django site: README.md tells how to run the two."""

import databases
from shared import DATABASE, SECRET_KEY, key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, SessionPolicy, crud, permission_required
from asgiauth.sessions import DjangoSessionStore

database = databases.Database(f"sqlite:///{DATABASE}")
auth = Auth(
    database,
    secret_keys=[key("asgiauth.key")],
    base_url="http://127.0.0.1:8001",
    permissions=crud("notes", "note"),
    sessions=SessionPolicy(store=DjangoSessionStore(secret_key=SECRET_KEY)),
)


async def home(request: Request) -> Response:
    rows = await database.fetch_all("SELECT text, username FROM notes_note n JOIN auth_user u ON u.id = n.author_id")
    notes = [f"{row['text']} ({row['username']})" for row in rows]
    may = await request.auth.has_perm("notes.add_note")
    return JSONResponse({"user": request.user.username, "may add notes": may, "notes": notes})


@permission_required("notes.add_note")
async def add(request: Request) -> Response:
    values = {"text": str((await request.json())["text"])[:200], "author": request.user.id}
    await database.execute("INSERT INTO notes_note (text, author_id) VALUES (:text, :author)", values)
    return JSONResponse({"added": values["text"]}, status_code=201)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/notes", add, methods=["POST"]),
        Mount("/auth", routes=auth.html_routes()),
        Mount("/api/auth", routes=auth.json_routes),
    ],
    middleware=auth.middleware,
    exception_handlers=auth.exception_handlers,
    lifespan=auth.lifespan,
)
