# SPDX-License-Identifier: Apache-2.0
"""Rules for the whole suite: where live tests run, and that CI cannot skip them in silence.

Live tests trace the running kernel: they need root, and skip with a named reason without it.  With
SLABTRACE_REQUIRE_LIVE=1 (as .ci/run sets it) any skip of a live test is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--noise",
        action="store_true",
        help="run the live tests beside other work on all CPUs (tests/noise)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("live"):
                item.add_marker(pytest.mark.skip(reason="live tests need root: sudo make test"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and item.get_closest_marker("live") and os.environ.get("SLABTRACE_REQUIRE_LIVE") == "1":
        report.outcome = "failed"
        report.longrepr = f"a live test was skipped under SLABTRACE_REQUIRE_LIVE=1: {report.longrepr}"
    return report
