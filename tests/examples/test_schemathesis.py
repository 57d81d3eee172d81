"""Does `examples/fastapi_api` answer as its OpenAPI document says, whatever it is asked?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from .conftest import PASSWORD

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    unsupported_method,
]
THOROUGH = settings(
    max_examples=10,
    derandomize=True,  # the same questions each time
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def browser(notes: ModuleType) -> Iterator[Any]:
    """In-process, with the cookies and headers of a page of the site."""
    with asgi.get_client(notes.app) as browser:
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        yield browser
    asgi.shutdown_lifespans()


def log_in(browser: requests.Session) -> None:
    credentials = {"username": "ann", "password": PASSWORD}
    assert browser.post("/api/auth/login", json=credentials).status_code == 200


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("logged_in", [False, True], ids=["anonymous", "logged_in"])
def test_B11_every_answer_is_documented_and_none_is_a_5xx(
    notes: ModuleType, browser: requests.Session, logged_in: bool, mode: GenerationMode
) -> None:
    """Valid requests and broken ones, to every operation, the routes of asgiauth included."""
    wish = {"username": "ann", "password": PASSWORD, "nickname": "Ann"}
    assert browser.post("/register", json=wish).status_code == 201
    schema = schemathesis.openapi.from_dict(notes.app.openapi())
    schema.app = notes.app
    answers: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # an operation that cannot be read fails here

        @THOROUGH
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            if not logged_in:
                browser.cookies.clear()
            elif browser.get("/api/auth/session").json()["user"] is None:
                log_in(browser)
            response = case.call_and_validate(session=browser, checks=CHECKS)
            answers[response.status_code] += 1

        with suppress(Unsatisfiable):  # there is no wrong way to ask what takes nothing
            ask()
    assert answers[200 if logged_in else 401] > 0
