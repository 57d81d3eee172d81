"""A change takes effect at the next request, in every process, although sets of permissions are kept between requests."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from starlette.routing import Route

from asgiauth import Auth
from asgiauth.guards import perm, requires

from ..conftest import client
from .guarding import cookie_of, site
from .permitting import ADD, grant, hello, join, leave, opened, revoke

TIMES = 200


async def by_group(auth: Auth, *, gives: bool) -> None:
    editors = await auth.groups.get("editors")
    assert editors is not None
    await (auth.permissions.grant if gives else auth.permissions.revoke)(editors, ADD)


async def test_A5_7_a_change_is_seen_by_the_next_request_in_each_process(url: str) -> None:
    """200 times, by turns, whoever makes the change and in whichever way: a grant to the user, a membership, a grant to
    the group."""
    async with opened(url, "ann") as one, opened(url) as two, AsyncExitStack() as stack:
        processes = (one, two)
        route = Route("/add", requires(perm(ADD))(hello))
        browsers = [await stack.enter_async_context(client(site(auth, route))) for auth in processes]
        headers = await cookie_of(one)
        await one.groups.create("editors")
        await one.groups.create("writers", [ADD])
        await join(one, "editors")
        for turn in range(TIMES):
            auth, gives = processes[turn // 2 % 2], turn % 2 == 0
            match turn // 2 % 3:
                case 0:
                    await (grant if gives else revoke)(auth, ADD)
                case 1:
                    await (join if gives else leave)(auth, "writers")
                case _:
                    await by_group(auth, gives=gives)
            for browser in browsers:
                answer = await browser.get("/add", headers=headers)
                assert answer.status_code == (200 if gives else 403), turn


async def test_A5_7_requests_that_were_under_way_keep_nothing_that_outlasts_the_change(url: str) -> None:
    """While the change is made, others read what held before and what holds after: what comes after it is refused."""
    async with opened(url, "ann") as auth, client(site(auth, Route("/add", requires(perm(ADD))(hello)))) as browser:
        headers = await cookie_of(auth)
        for _ in range(20):
            await grant(auth, ADD)
            asking = [browser.get("/add", headers=headers) for _ in range(8)]
            during = await asyncio.gather(*asking[:4], revoke(auth, ADD), *asking[4:])
            assert {answer.status_code for answer in during if answer is not None} <= {200, 403}
            assert (await browser.get("/add", headers=headers)).status_code == 403
