"""Two realms of one database have users of their own, and Django's groups and permissions in common."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgiauth import UserModel, crud
from asgiauth.guards import perm, requires
from asgiauth.testing import client, force_login

from ..conftest import make_auth


@requires(perm("blog.add_post"))
async def write(request: Request) -> Response:
    return PlainTextResponse("written")


async def test_B10_1_what_one_realm_takes_from_a_group_is_gone_in_the_other_at_the_next_request(url: str) -> None:
    customers, staff = (
        make_auth(url, realm=realm, user_model=UserModel(table=table), permissions=crud("blog", "post"))
        for realm, table in (("customers", "customer"), ("staff", "employee"))
    )
    async with customers, staff:
        await customers.create_tables()
        await staff.create_tables()
        editors = await customers.groups.create("editors", ["blog.add_post"])
        ann = await staff.users.create("ann")
        await staff.groups.add(ann, "editors")
        browser = client(Starlette(routes=[Route("/", write)], middleware=staff.middleware))
        await force_login(browser, ann)
        assert (await browser.get("/")).status_code == 200
        await customers.permissions.revoke(editors, "blog.add_post")
        assert (await browser.get("/")).status_code == 403
