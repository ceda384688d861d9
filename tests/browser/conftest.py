# SPDX-License-Identifier: Apache-2.0
"""One headless Chromium for all tests of pages, and a page that collects errors and requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.needs import need_program


@pytest.fixture(scope="package")  # playwright's event loop must end here: other tests run their own
def browser() -> Iterator[Browser]:
    path = need_program("chromium", "google-chrome")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # CI runs as root
        yield running
        running.close()


@dataclass
class Opened:
    """A page, and what went wrong in it: errors, refused scripts and styles, requests, dialogs."""

    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Open a file; takes the options of playwright's new_context, such as `color_scheme` and `viewport`."""
    contexts: list[BrowserContext] = []

    def opened(path: Path, **options: object) -> Opened:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        result = Opened(context.new_page())
        page, note = result.page, result.complaints.append
        page.on("pageerror", lambda error: note(f"error: {error}"))
        page.on("console", lambda message: note(f"console: {message.text}"))
        page.on("dialog", lambda dialog: (note(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url.startswith("file:") or note(f"loads {request.url}"))
        page.goto(path.as_uri())
        return result

    yield opened
    for context in contexts:
        context.close()
