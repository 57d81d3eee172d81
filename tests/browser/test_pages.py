"""The pages in headless Chromium: by keyboard alone, for a screen reader, on the smallest phone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from .board import CHROMIUM, Board, serving

LOGIN, SESSIONS, CHANGE = "/auth/login", "/auth/sessions", "/auth/password_change"
NEW = "seven pears on a wall"
OF_MEMBERS = ["/", "/write", SESSIONS, CHANGE, f"{CHANGE}/done", "/auth/logout"]
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 4 + "welche vor"


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    with serving() as board:
        yield board


@pytest.fixture(scope="module", params=[CHROMIUM] if CHROMIUM else [])
def chromium(request: pytest.FixtureRequest) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=request.param, args=["--no-sandbox"], timeout=120_000)
        yield browser
        browser.close()


def log_in(page: Any, board: Board, name: str = "bob") -> None:
    page.goto(board.url + LOGIN)
    page.fill("#username", name)
    page.fill("#password", board.passwords[name])
    page.click("main button")
    page.wait_for_url(f"{board.url}/")


def enter(page: Any) -> None:
    """On what has the focus, and waits for the page that comes."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


def tab_to(page: Any, selector: str) -> None:
    for _ in range(30):
        if page.locator(f"{selector}:focus").count():
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not get to {selector}")


def test_the_whole_flow_by_keyboard_alone_without_javascript(board: Board, chromium: Any) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    keys = page.keyboard
    page.goto(f"{board.url}/write")
    assert page.url == f"{board.url}{LOGIN}?next=/write"
    page.locator("#username:focus").wait_for()  # the first field has the focus
    keys.type("ann")
    tab_to(page, "#password")
    keys.type("wrong")
    enter(page)
    assert page.get_by_role("alert").inner_text() == "Invalid username or password."
    page.locator("#password:focus").wait_for()  # the focus is where one goes on
    keys.type(board.passwords["ann"])
    keys.press("Tab")
    keys.press("Space")
    assert page.get_by_label("Stay logged in on this device").is_checked()
    keys.press("Tab")
    enter(page)
    assert page.url == f"{board.url}/write"
    tab_to(page, "#title")
    keys.type("Lost: a grey cat")
    tab_to(page, "#text")
    keys.type("She answers to Minka.")
    tab_to(page, "main button")
    enter(page)
    assert page.url == f"{board.url}/"
    assert "Lost: a grey cat" in page.inner_text("main")
    tab_to(page, f'a[href="{CHANGE}"]')
    enter(page)
    assert page.url == board.url + CHANGE
    page.locator("#old_password:focus").wait_for()
    keys.type(board.passwords["ann"])
    tab_to(page, "#new_password")
    keys.type("pear")
    enter(page)
    assert page.locator("#new_password-problem p").first.inner_text() == "Use at least 8 characters."
    page.locator("#new_password:focus").wait_for()
    page.keyboard.press("Shift+Tab")
    page.locator("#old_password:focus").wait_for()
    keys.type(board.passwords["ann"])
    tab_to(page, "#new_password")
    keys.type(NEW)
    enter(page)
    assert page.url == f"{board.url}{CHANGE}/done"
    board.passwords["ann"] = NEW
    tab_to(page, f'a[href="{SESSIONS}"]')
    enter(page)
    assert page.url == board.url + SESSIONS
    assert page.locator(".sessions li").count() == 1
    other = chromium.new_context().new_page()
    log_in(other, board, "ann")
    page.reload()
    tab_to(page, ".quiet")
    enter(page)
    assert page.url == board.url + SESSIONS
    assert page.locator(".sessions li").count() == 1
    other.reload()
    assert "Log in" in other.inner_text("header")
    tab_to(page, 'nav a[href="/"]')
    enter(page)
    assert page.url == f"{board.url}/"
    tab_to(page, 'form[action="/auth/logout"] button')
    enter(page)
    assert "Log in" in page.inner_text("header")
    context.close()


def states(page: Any, board: Board) -> Iterator[str]:
    """Each page, empty and with an error, for nobody and for Bob; `page` shows it."""
    for path in ("/", LOGIN):
        page.goto(board.url + path)
        yield path
    page.fill("#username", LONG)
    page.fill("#password", "wrong")
    page.click("main button")
    yield "a wrong login"
    log_in(page, board)
    for path in OF_MEMBERS:
        page.goto(board.url + path)
        yield path
    page.goto(board.url + CHANGE)
    page.fill("#old_password", "wrong")
    page.fill("#new_password", "short")
    page.click("main button")
    yield "a wrong password"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(board: Board, chromium: Any, scheme: Any) -> None:
    """axe-core: WCAG 2.2 A and AA with its contrasts, and its best practices."""
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    found: list[tuple[Any, ...]] = []
    for state in states(page, board):
        page.evaluate(axe)
        result = page.evaluate("() => axe.run()")
        assert len(result["passes"]) > 10
        found += [(state, one["impact"], one["id"], one["nodes"][0]["html"]) for one in result["violations"]]
    assert found == []
    context.close()


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_no_page_is_wider_than_the_smallest_phone(board: Board, chromium: Any, direction: str) -> None:
    """320 CSS pixels (WCAG 1.4.10), in both directions of writing."""
    context = chromium.new_context(viewport={"width": 320, "height": 568})
    page = context.new_page()
    for state in states(page, board):
        page.evaluate(f"document.documentElement.dir = '{direction}'")
        assert page.evaluate("document.documentElement.scrollWidth") == 320, state
    context.close()


def test_from_right_to_left_everything_is_mirrored(board: Board, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(board.url + LOGIN)
    boxes = []
    for direction in ("ltr", "rtl"):
        page.evaluate(f"document.documentElement.dir = '{direction}'")
        boxes.append([page.locator(what).bounding_box() for what in ("#remember", "label[for=remember]", "main")])
    (check, label, main), (check_rtl, label_rtl, main_rtl) = boxes
    assert check["x"] < label["x"]
    assert check_rtl["x"] > label_rtl["x"]
    assert main == main_rtl
    assert check["x"] - main["x"] == pytest.approx(
        main["x"] + main["width"] - check_rtl["x"] - check_rtl["width"], abs=1
    )
    context.close()


@pytest.mark.parametrize(("wish", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_who_wants_nothing_to_move(board: Board, chromium: Any, wish: Any, moves: bool) -> None:
    context = chromium.new_context(reduced_motion=wish)
    page = context.new_page()
    page.goto(board.url + LOGIN)
    duration = page.evaluate("getComputedStyle(document.querySelector('button')).transitionDuration")
    assert (duration != "0s") is moves
    context.close()


def test_the_policy_lets_everything_of_ours_through(board: Board, chromium: Any) -> None:
    """Nothing is blocked on any page, and nothing asks another host."""
    context = chromium.new_context()
    page = context.new_page()
    told, asked = [], set()
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda request: asked.add(request.url.split("/")[2]))
    shown = list(states(page, board))
    assert len(shown) == 10
    assert [text for text in told if "Content Security Policy" in text or "Content-Security-Policy" in text] == []
    assert asked == {board.url.split("/")[2]}
    context.close()


def test_D18_a_real_form_of_another_site_is_answered_with_a_page(board: Board, chromium: Any) -> None:
    """Of another port, so of the same site: the cookie comes along, and the middleware refuses."""
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()
    context = chromium.new_context(viewport={"width": 320, "height": 568})
    page = context.new_page()
    log_in(page, board)
    elsewhere = "http://127.0.0.1:8767/"
    form = f'<form method="post" action="{board.url}/write"><input name="title"><button>Send</button></form>'
    page.route(elsewhere, lambda route: route.fulfill(content_type="text/html", body=form))
    page.goto(elsewhere)
    with page.expect_response(f"{board.url}/write") as answered:
        page.click("button")
    assert answered.value.status == 403
    assert page.get_by_role("alert").inner_text().startswith("This page is too old, or another site")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.evaluate(axe)
    assert page.evaluate("() => axe.run()")["violations"] == []
    page.get_by_role("link", name="Back to the site").click()
    page.wait_for_url(f"{board.url}/")
    assert "Log out, Bob" in page.inner_text("header")
    context.close()
