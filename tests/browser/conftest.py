"""The project that the tests of this folder ask for, and the browser."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.helpers.page import CHROMIUM
from tests.helpers.project import Project

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def project(trained: Project) -> Project:
    """The trained pipeline itself, not a copy: these tests only read it."""
    return trained


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Page]]:
    """Open an address; during the whole test, no script may fail and no request may go to another host."""
    complaints, contexts = [], []

    def visit(address: str, **options) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith((urljoin(address, "/"), "data:", "blob:")) or complaints.append(request.url)
            ),
        )
        page.goto(address)
        expect(page.locator("body")).to_have_attribute("data-kind", re.compile("."))
        return page

    yield visit
    for context in contexts:
        context.close()
    # Chromium reports each answer that isn't a 200; the tests cause such answers on purpose.
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []
