# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser: only its own script runs, and all controls work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slabtrace.commands import main
from tests.browser.conftest import Opened
from tests.unit.synthetic import START, Event, alloc, free, write_trace

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'; alert(3); //",
    "</script><script>alert(4)</script>",
    "evil\x1b]0;owned\x07\u202egnp",
    "{{ 7 * 7 }}",
    "<svg onload=alert(5)>",
    "</title><svg><style>*{display:none}",
]
CONTRAST = Path(__file__).parent / "contrast.js"
OpenPage = Callable[..., Opened]


def hostile_trace(folder: Path) -> Path:
    """A trace with each hostile text as a cache, an alias, a module, a symbol, a task and a mark."""
    events: list[Event] = []
    tables: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("caches", "stacks", "symbols", "tasks")
    }
    for i, text in enumerate(HOSTILE):
        call_site = 0x1000 * (i + 1)
        base = 0x100000 * (i + 1)
        mine = {"call_site": call_site, "cache": 0xC0 + i, "tid": i, "stack_id": i}
        events += [alloc(10 * n + i, base + 64 * n, **mine) for n in range(3 + i)]
        events.append(free(500 + i, base, cache=0xC0 + i, tid=i))
        events.append(free(600 + i, base, cache=0xC0 + i, tid=i, call_site=call_site))
        sizes = {"object_size": 64, "size": 64, "slab_flags": 0, "order": 0, "objects_per_slab": 64}
        names = {"cache": 0xC0 + i, "name": text, "aliases": [text + "2"], "reclaimable": False}
        tables["caches"].append({**sizes, **names, "first_seen_ns": START})
        tables["stacks"].append({"stack_id": i, "frames": [call_site, 0x900]})
        symbol = {"offset": 1, "since_ns": START, "name": text, "module": text}
        tables["symbols"].append({"address": call_site, **symbol})
        tables["tasks"].append({"ts_ns": START, "tid": i, "tgid": i, "comm": text})
    tables["marks"] = [{"ts_ns": START + 10**8 * (i + 1), "text": text} for i, text in enumerate(HOSTILE)]
    path = write_trace(folder, sorted(events, key=lambda event: event.ts), tables)
    manifest = path / "manifest.json"
    manifest.write_text(
        manifest.read_text().replace('"hostname": ""', '"hostname": "<script>alert(9)</script>"')
    )
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    page = folder / "report.html"
    assert main.run(["report", str(hostile_trace(folder / "t.slab")), "-o", str(page)]) == 0
    return page


def test_only_our_script_runs(report: Path, open_page: OpenPage) -> None:
    opened = open_page(report)
    page = opened.page
    assert opened.complaints == []
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("document.querySelectorAll('[onerror], [onload], [style]').length") == 0
    shown = page.inner_text("main") + page.evaluate(
        "[...document.querySelectorAll('svg title, svg text')].map(e => e.textContent).join('\\n')"
    )
    for text in HOSTILE[:4] + HOSTILE[5:]:
        assert text in shown, f"{text!r} is shown as it is"
    assert "evil\\x1b]0;owned\\x07\\u202egnp" in shown
    assert "49" not in page.inner_text("#outstanding .mono >> nth=0")


def test_the_policy_refuses_added_scripts_and_styles(report: Path, open_page: OpenPage) -> None:
    """If a name were ever not escaped, the browser would still not run it."""
    opened = open_page(report)
    for added in (
        "const s = document.createElement('script'); s.text = 'window.ran = 1'; document.body.append(s)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 2\">')",
        "const s = document.createElement('script'); s.src = 'other.js'; document.body.append(s)",
        "document.body.setAttribute('style', 'display: none')",
    ):
        with opened.page.expect_console_message(lambda message: "Content Security Policy" in message.text):
            opened.page.evaluate(f"() => {{ {added} }}")
    assert opened.page.evaluate("window.ran") is None
    assert opened.page.locator("main").is_visible()


def test_a_flame_graph_zooms_in_and_out(report: Path, open_page: OpenPage) -> None:
    page = open_page(report, viewport={"width": 1200, "height": 900}).page
    graph = page.locator("[data-flame]").first
    frames = graph.locator("svg.f")
    whole = graph.locator("svg.flame").bounding_box()
    target = frames.nth(2)
    before = target.bounding_box()
    assert whole and before and before["width"] < whole["width"] / 2
    target.click()
    after = target.bounding_box()
    assert after and after["width"] == pytest.approx(whole["width"], abs=2)
    visible = "els => els.filter(e => e.getAttribute('display') !== 'none').length"
    zoomed = frames.evaluate_all(visible)
    graph.get_by_role("button", name="Show all").click()
    again = target.bounding_box()
    assert again and again["width"] == pytest.approx(before["width"], abs=2)
    assert frames.evaluate_all(visible) > zoomed


def test_a_flame_graph_works_with_the_keyboard(report: Path, open_page: OpenPage) -> None:
    page = open_page(report).page
    graph = page.locator("[data-flame]").first
    graph.locator(".scroll").focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert graph.get_by_role("button", name="Show all").is_enabled()
    assert graph.locator("svg.focused").count() == 1
    page.keyboard.press("Escape")
    assert graph.get_by_role("button", name="Show all").is_disabled()


def test_search_counts_its_hits(report: Path, open_page: OpenPage) -> None:
    page = open_page(report).page
    graph = page.locator("[data-flame]").first
    graph.get_by_role("searchbox").fill("alert(2)")
    assert graph.locator("svg.hit").count() == 2  # the function, and the cache below it
    # 3 + 1 objects minus the freed one, of 3 + 4 + … + 10 minus eight
    assert graph.locator("output").inner_text() == f"2 found, {100 * 3 / 44:.1f}% of all"


def test_tables_sort_in_both_directions(report: Path, open_page: OpenPage) -> None:
    page = open_page(report).page
    head = page.locator("#cache-table th", has_text="allocations")
    numbers = "rows => rows.map(r => Number(r.cells[3].dataset.v))"
    for order in ("descending", "ascending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order
        found = page.locator("#cache-table tbody tr").evaluate_all(numbers)
        assert found == sorted(found, reverse=order == "descending") and set(found) == set(range(3, 11))


def test_the_filter_hides_other_rows(report: Path, open_page: OpenPage) -> None:
    page = open_page(report).page
    page.locator("input[data-filter=cache-table]").fill("alert(5)")
    assert page.locator("#cache-table tbody tr:visible").count() == 1


def test_everything_is_shown_without_javascript(report: Path, open_page: OpenPage) -> None:
    opened = open_page(report, java_script_enabled=False)
    page = opened.page
    assert opened.complaints == []
    assert page.locator("#finding-table tbody tr").count() == len(HOSTILE)
    assert page.locator("figure.plot svg[role=img]").count() == 6
    assert page.locator("[data-flame] svg.flame").count() == 3
    assert page.locator(".controls:visible").count() == 0  # without the script these would do nothing
    page.locator("#finding-table summary").nth(1).click()
    assert page.locator("#outstanding details[open]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(scheme: str, report: Path, open_page: OpenPage) -> None:
    """The contrast of text and background is at least 4.5, as WCAG 2.1 requires."""
    page = open_page(report, color_scheme=scheme).page
    for selector in ("body", ".verdict", ".soft", ".badge", "td.n", "a", "figure.plot text"):
        ratio = page.locator(selector).first.evaluate(CONTRAST.read_text())
        assert ratio >= 4.5, f"{selector}: {ratio:.2f}"


def test_on_a_phone_tables_scroll_and_the_page_does_not(report: Path, open_page: OpenPage) -> None:
    page = open_page(report, viewport={"width": 400, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_every_stack_is_open_in_print(report: Path, open_page: OpenPage) -> None:
    page = open_page(report).page
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator("#outstanding details:not([open]) pre").first.evaluate("e => e.checkVisibility()")
    assert page.pdf().startswith(b"%PDF")
