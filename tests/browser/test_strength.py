"""The meter beside a new password, in headless Chromium: what it says, how often it asks, and when it keeps still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import pytest

from .board import Board
from .test_pages import CHANGE, log_in
from .test_pages import board as board
from .test_pages import chromium as chromium

WEAK, STRONG = "password1", "seven pears on a wall"
ASKED = "/auth/password_strength"

HOLD_THE_FIRST = """() => {
    const fetch = window.fetch;
    let isHeld;
    window.held = new Promise((resolve) => { isHeld = resolve; });
    window.fetch = async (...request) => {
        window.fetch = fetch;
        const answer = await fetch(...request);
        const found = await answer.json();
        await new Promise((resolve) => { window.letGo = resolve; isHeld(); });
        window.came = request[1].signal.reason.name;
        return new Response(JSON.stringify(found));
    };
}"""
"""Its answer is there when another one was shown."""


@contextmanager
def changing(chromium: Any, board: Board, **options: Any) -> Iterator[Any]:
    """Bob's page to change his password."""
    context = chromium.new_context(**options)
    page = context.new_page()
    log_in(page, board)
    page.goto(board.url + CHANGE)
    yield page
    context.close()


def said(page: Any) -> str:
    return str(page.get_by_role("status").inner_text())


def test_the_meter_and_the_text_follow_what_is_typed(board: Board, chromium: Any) -> None:
    """For everybody: as a bar, as words beside it, and read out when they change."""
    with changing(chromium, board) as page:
        meter = page.get_by_role("meter", name="Password strength")
        assert (meter.count(), said(page)) == (0, "")
        page.fill("#new_password", WEAK)
        meter.wait_for()
        assert float(meter.evaluate("meter => meter.value")) <= 1
        assert meter.get_attribute("aria-valuetext") == "Not good enough yet"
        assert said(page).startswith("Not good enough yet")
        assert "Many people use this password, so it is tried first." in said(page)
        page.fill("#new_password", STRONG)
        page.get_by_text("Very hard to guess").wait_for()
        assert float(meter.evaluate("meter => meter.value")) == 4
        assert meter.get_attribute("aria-valuetext") == said(page) == "Very hard to guess"
        page.fill("#new_password", "bob bob 2026")
        page.get_by_text("Not good enough yet").wait_for()
        page.fill("#new_password", "")
        meter.wait_for(state="hidden")
        assert said(page) == ""
        assert page.get_by_role("status").evaluate("status => status.closest('[aria-live=off]')") is None


def test_it_asks_once_when_the_typing_pauses(board: Board, chromium: Any) -> None:
    """Four tenths of a second after the last key, however many there were."""
    with changing(chromium, board) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.install()
        page.focus("#new_password")
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 60)
        for character in STRONG:
            page.keyboard.type(character)
            page.clock.run_for(399)
        assert asked == []
        with page.expect_response(f"**{ASKED}") as answer:
            page.clock.run_for(1)
        assert answer.value.status == 200
        assert asked == [board.url + ASKED]
        page.keyboard.type("x")
        page.keyboard.press("Backspace")
        page.clock.run_for(399)
        assert len(asked) == 1


def test_only_the_last_answer_counts(board: Board, chromium: Any) -> None:
    """One that comes late says nothing of what is there now."""
    with changing(chromium, board) as page:
        page.evaluate(HOLD_THE_FIRST)
        page.fill("#new_password", WEAK)
        page.evaluate("() => window.held")
        page.fill("#new_password", STRONG)
        page.get_by_text("Very hard to guess").wait_for()
        page.evaluate("async () => { window.letGo(); await new Promise((later) => setTimeout(later, 100)); }")
        assert said(page) == "Very hard to guess"
        assert page.evaluate("window.came") == "AbortError"


@pytest.mark.parametrize("status", [429, 503, 403, 500])
def test_it_disappears_without_a_word_where_there_is_no_answer(board: Board, chromium: Any, status: int) -> None:
    """And does not ask again before it may."""
    with changing(chromium, board) as page:
        meter = page.get_by_role("meter")
        page.fill("#new_password", WEAK)
        meter.wait_for()
        headers = {"Retry-After": "3600"} if status in (429, 503) else {}
        page.route(f"**{ASKED}", lambda route: route.fulfill(status=status, headers=headers, body="<b>no</b>"))
        page.fill("#new_password", STRONG)
        meter.wait_for(state="hidden")
        assert said(page) == ""
        page.unroute(f"**{ASKED}")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.install()
        page.fill("#new_password", WEAK)
        page.clock.run_for(400)
        if headers:
            assert asked == []
            page.clock.fast_forward("01:00:01")
            page.fill("#new_password", STRONG)
            page.clock.run_for(400)
        meter.wait_for()


def test_offline_the_form_is_as_without_javascript(board: Board, chromium: Any) -> None:
    with changing(chromium, board) as page:
        meter = page.get_by_role("meter")
        page.fill("#new_password", STRONG)
        meter.wait_for()
        page.context.set_offline(True)
        page.fill("#new_password", WEAK)
        meter.wait_for(state="hidden")
        assert said(page) == ""
        page.context.set_offline(False)
        page.fill("#new_password", STRONG)
        meter.wait_for()


def test_without_javascript_the_rules_are_there_and_errors_come_with_the_answer(board: Board, chromium: Any) -> None:
    with changing(chromium, board, java_script_enabled=False) as page:
        rules = page.locator("#new_password-rules li").all_inner_texts()
        assert rules[0] == "At least 8 characters."
        assert len(rules) > 3
        assert page.get_by_role("meter").count() == 0
        page.fill("#old_password", board.passwords["bob"])
        page.fill("#new_password", WEAK)
        page.click("main button")
        told = page.locator("#new_password-problem").inner_text()
        assert "Many people use this password, so it is tried first." in told
        assert page.get_by_role("meter").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("direction", ["ltr", "rtl"])
def test_axe_finds_nothing_and_nothing_sticks_out(board: Board, chromium: Any, scheme: str, direction: str) -> None:
    """With the meter shown, on the smallest phone (WCAG 1.4.10), in both directions of writing."""
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()
    viewport = {"width": 320, "height": 568}
    with changing(chromium, board, color_scheme=scheme, viewport=viewport) as page:
        page.evaluate(f"document.documentElement.dir = '{direction}'")
        for password, text in ((WEAK, "Not good enough yet"), (STRONG, "Very hard to guess")):
            page.fill("#new_password", password)
            page.get_by_text(text).wait_for()
            page.evaluate(axe)
            result = page.evaluate("() => axe.run()")
            assert [(one["id"], one["nodes"][0]["html"]) for one in result["violations"]] == []
            assert page.evaluate("document.documentElement.scrollWidth") == 320
            meter, field = (page.locator(one).bounding_box() for one in ("meter", "#new_password"))
            assert (meter["x"], meter["width"]) == (field["x"], field["width"])
        moving = page.evaluate("document.querySelector('.strength').getAnimations({subtree: true}).length")
        assert moving == 0


def test_texts_of_the_answer_stay_texts(board: Board, chromium: Any) -> None:
    """T11: whatever a validator says, and whatever the texts of another language hold."""
    hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    body = {
        "score": 1,
        "problems": [{"code": "own", "text": hostile, "params": {}}],
        "warning": hostile,
        "suggestions": [hostile],
    }
    with changing(chromium, board) as page:
        title = page.title()
        page.route(f"**{ASKED}", lambda route: route.fulfill(json=body))
        page.fill("#new_password", WEAK)
        page.locator(".strength li").first.wait_for()
        assert page.locator(".strength li").all_inner_texts() == [hostile] * 3
        assert page.locator(".strength img, .strength script").count() == 0
        assert page.title() == title


def test_without_a_score_there_are_words_alone(board: Board, chromium: Any) -> None:
    """Where the extra `strength` is not installed."""
    problem = {"code": "password_too_short", "text": "Use at least 8 characters.", "params": {"min_length": 8}}
    body: dict[str, Any] = {"score": None, "problems": [problem], "warning": None, "suggestions": []}
    with changing(chromium, board) as page:
        page.route(f"**{ASKED}", lambda route: route.fulfill(json=body))
        page.fill("#new_password", "short")
        page.get_by_text("Not good enough yet").wait_for()
        assert page.get_by_role("meter").count() == 0
        assert said(page).endswith("Use at least 8 characters.")
        body["problems"] = []
        page.fill("#new_password", "long enough")
        page.get_by_text("Not good enough yet").wait_for(state="detached")
        assert said(page) == ""
