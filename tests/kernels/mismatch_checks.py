# SPDX-License-Identifier: Apache-2.0
"""Checks of a recording: the workload's wrong frees.  They hold even if the guest panicked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.kernels.leak_checks import Findings, Group, blamed, equal, frames
from tests.kernels.workload import BAD_FREES, OTHER_CACHE, PANIC, BadFree


def of(findings: Findings, bad: BadFree) -> list[Group]:
    """The mismatches with a function of the module in one of their stacks."""
    return [each for each in findings.mismatches if bad.name in blamed(each)]


def check_bad_free(bad: BadFree) -> Callable[[Findings], None]:
    """A check: each of a fault's frees is found, with its task, time, CPU and stack, and nothing else is."""

    def check(findings: Findings) -> None:
        found = of(findings, bad)
        equal("kinds", [each["kind"] for each in found], [bad.kind] * bad.count)
        equal("objects", len({each["ptr"] for each in found}), bad.count)
        equal("caches", {each["cache"] for each in found}, {bad.cache})
        unsure = {each["confidence"] for each in found} - {"exact", "bounded"}
        equal("confidence", unsure, set())
        equal("supported", {bool(each["supported"]) for each in found}, {True})
        for each in found:
            _check_events(each, bad)

    return check


def _check_events(finding: Group, bad: BadFree) -> None:
    keys = ["alloc", "first_free"] + ["second_free"] * (bad.kind == "double-free")
    events = [finding[key] for key in keys]
    if None in events:
        raise AssertionError(f"{keys}: {[event and event['symbol'] for event in events]}")
    for event in events:
        equal("stack", (frames(event)[0], "fault_write" in frames(event)), (bad.name, True))
        equal(
            "task", (event["comm"], event["pid"] == event["tid"], event["cpu"] in (0, 1)), ("sh", True, True)
        )
    times = [event["ts_ns"] for event in events]
    equal("times", times, sorted(set(times)))
    equal("call sites", len({event["call_site"] for event in events}), len(events))


def check_offset(findings: Findings) -> None:
    """The interior frees are 8 bytes into their objects."""
    found = of(findings, BAD_FREES[1])
    equal("offsets", {each["offset"] for each in found}, {8})
    equal("pointers", {each["ptr"] - 8 for each in found}, {each["ptr"] - each["offset"] for each in found})


def check_named_cache(findings: Findings) -> None:
    """The cache that the free named is known where the kernel reports it."""
    found = of(findings, BAD_FREES[2])
    names = {each["named_cache"] for each in found}
    if names not in ({OTHER_CACHE}, {None}):
        raise AssertionError(f"named: {names}")


def check_nothing_else(findings: Findings) -> None:
    """No other function of the module is blamed."""
    known = {bad.name for bad in BAD_FREES} | {PANIC.split()[0]}
    others = [
        each["kind"]
        for each in findings.mismatches
        if "fault_write" in blamed(each) and not known & blamed(each)
    ]
    equal("others", others, [])


def checks() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of a recording of mismatches_script."""
    for bad in BAD_FREES:
        yield bad.name, check_bad_free(bad)
    yield "interior offset", check_offset
    yield "named cache", check_named_cache
    yield "nothing else", check_nothing_else
