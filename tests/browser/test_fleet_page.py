# SPDX-License-Identifier: Apache-2.0
"""The page about a fleet in a real browser: thousands of strangers' strings, and only our script runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from slabtrace.fleet.judging.report import report
from slabtrace.render.html.fleet import fleet_page
from tests.browser.conftest import Opened
from tests.browser.test_report_page import CONTRAST, HOSTILE
from tests.unit.fleet import fleets

OpenPage = Callable[..., Opened]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each host has a hostile name, label, module, release, place, stack and command; all of them leak."""
    rng, rows = random.Random(1), []
    for at in range(24):
        text = HOSTILE[at % len(HOSTILE)]
        facts = fleets.facts_of(at, at % 4, rng, host=f"{text}{at}", release=text, kernel=text, modules=text)
        facts["labels"] = json.dumps({text: text})
        names = {
            "title": f"{text}: issue {at % 8}",
            "stack": f"{text}\nf+0x1",
            "command": text,
            "object": text,
        }
        leak = fleets.finding(at % 8, at % 4, rng, **fleets.suspect(10**6 * (at + 1)))
        few = fleets.finding(90 + at, at % 4, rng, **fleets.suspect(10**5)) | names
        row = fleets.row(facts, [leak | names, few], place=f"/tmp/{text}")
        rows.append(row)
    unread = [(f"javascript:alert(1)//{text}", text) for text in HOSTILE]
    path = tmp_path_factory.mktemp("fleet") / "fleet.html"
    path.write_bytes(fleet_page("0", report(fleets.merged(rows), unread)))
    return path


def test_only_our_script_runs(page: Path, open_page: OpenPage) -> None:
    opened = open_page(page)
    assert opened.complaints == []
    assert opened.page.evaluate("document.scripts.length") == 1
    assert opened.page.evaluate("document.images.length") == 0
    assert opened.page.evaluate("document.querySelectorAll('[onerror], [onload], [style]').length") == 0
    shown = opened.page.locator("main").evaluate("e => e.textContent")
    for text in HOSTILE[:4] + HOSTILE[5:]:
        assert text in shown
    assert "evil\\x1b]0;owned\\x07\\u202egnp" in shown


def test_links_lead_to_files_only(page: Path, open_page: OpenPage) -> None:
    links = open_page(page).page.evaluate("[...document.links].map(a => a.getAttribute('href'))")
    assert links and all(link.startswith(("#", "file:///tmp/")) for link in links)


def test_every_section_of_the_navigation_exists(page: Path, open_page: OpenPage) -> None:
    found = (
        "[...document.querySelectorAll('nav a')].map(a => !!document.querySelector(a.getAttribute('href')))"
    )
    assert set(open_page(page).page.evaluate(found)) == {True}


def test_tables_sort_and_filter(page: Path, open_page: OpenPage) -> None:
    opened = open_page(page).page
    head = opened.locator("#few-table th", has_text="certain growth")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    opened.locator("input[data-filter=few-table]").fill("alert(5)")
    assert 0 < opened.locator("#few-table tbody tr:visible").count() < 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(scheme: str, page: Path, open_page: OpenPage) -> None:
    opened = open_page(page, color_scheme=scheme).page
    for selector in ("body", ".verdict", ".soft", ".badge", "td.n", "a"):
        ratio = opened.locator(selector).first.evaluate(CONTRAST.read_text())
        assert ratio >= 4.5, f"{selector}: {ratio:.2f}"


def test_on_a_phone_the_page_does_not_scroll_sideways(page: Path, open_page: OpenPage) -> None:
    opened = open_page(page, viewport={"width": 400, "height": 800}).page
    assert opened.evaluate("document.documentElement.scrollWidth") <= 400


def test_everything_is_shown_without_javascript(page: Path, open_page: OpenPage) -> None:
    opened = open_page(page, java_script_enabled=False)
    assert opened.complaints == []
    assert opened.page.locator("article.card").count() == 8
