# SPDX-License-Identifier: Apache-2.0
"""The sentence on where siblings were freed, and the words for contexts."""

from __future__ import annotations

from typing import Any

import pytest

from slabtrace.analysis.freeing.paths import COUNTED, INFERRED, nowhere
from slabtrace.analysis.freeing.words import allocated_in, siblings

S = 10**9


def entry(path: str, objects: int, context: str = "task", **more: Any) -> dict[str, Any]:
    return {
        "how": "seen", "path": path.split(), "context": context, "objects": objects, "share": 1.0,
        "certain": True, "last_ns": 12 * S, "stopped": False,
    } | more  # fmt: skip


def row(
    *entries: dict[str, Any], class_: str = "suspect", freed: int | None = None, **more: Any
) -> dict[str, Any]:
    number = sum(each["objects"] for each in entries) if freed is None else freed
    return {"class": class_, "freed": number, "freed_by": list(entries), "others_freed_by": []} | more


def test_the_release_path_that_was_not_taken() -> None:
    said = siblings(row(entry("free_msg do_msgrcv", 4800)))
    assert said == "siblings were freed by free_msg <- do_msgrcv (4,800 of 4,800); these were not"


def test_of_what_does_not_grow_it_is_not_said_that_these_were_not() -> None:
    said = siblings(row(entry("bio_free blk_mq_end_request", 7, "softirq BLOCK"), class_="retained"))
    assert said == "siblings were freed by bio_free <- blk_mq_end_request in softirq BLOCK (7 of 7)"


def test_three_places_and_the_rest_together() -> None:
    said = siblings(
        row(*(entry(name, number) for name, number in zip("abcde", (50, 40, 5, 3, 2), strict=True)))
    )
    assert said == "siblings were freed by a (50 of 100), b (40), c (5) and 2 more (5); these were not"


def test_paths_of_sampled_stacks() -> None:
    known = [
        entry("free_msg do_msgrcv", 400, stopped=True, last_ns=9 * S),
        entry("free_msg freeque", 9, "work item w"),
        entry("free_msg do_msgsnd", 1),  # too rare
    ]
    said = siblings(row(entry("free_msg", 800, context="", paths=known, stack_of=410), class_="young"))
    sample = "free_msg [of 410 whose path is known: 400 by do_msgrcv, 9 by freeque in work item w]"
    last = "free_msg <- do_msgrcv freed its last one 9 s after the start, though siblings still came"
    assert said == f"siblings were freed by {sample} (800 of 800); {last}"


def test_what_was_freed_unseen() -> None:
    """Fewer objects than missed frees: these may be others, at the same addresses."""
    doubtful = entry("virtio_transport_tx_work", 11, certain=False)
    said = siblings(row(doubtful, nowhere(INFERRED, 3136, 3147)))
    assert said == "siblings were freed without being seen (3,136 of 3,147)"
    said = siblings(row(entry("a", 90), doubtful, nowhere(INFERRED, 20, 121), class_="young"))
    assert said == "siblings were freed by a (90 of 121) and without being seen (20)"


def test_in_survivors_mode_most_frees_are_only_counted() -> None:
    said = siblings(row(entry("a", 3), nowhere(COUNTED, 97, 100), class_="young"))
    assert said == "siblings were freed by a (3 of 100) and while they were young and only counted (97)"


def test_a_place_that_stopped() -> None:
    said = siblings(row(entry("a b", 30, stopped=True), entry("c", 20)))
    expected = "a <- b freed its last one 12 s after the start, though siblings still came"
    assert said == f"siblings were freed by a <- b (30 of 50) and c (20); these were not; {expected}"


def test_of_what_was_never_freed_others_are_named() -> None:
    others = [
        entry("free_msg", 30, share=0.75, of="call site"),
        entry("expunge", 10, share=0.25, of="call site"),
    ]
    said = (
        "none was freed; other objects of this call site were freed by free_msg (30 of 40) and expunge (10)"
    )
    assert siblings(row(others_freed_by=others)) == said
    assert siblings(row(others_freed_by=others, class_="young")) == ""
    assert siblings(row()) == "" and siblings({"class": "suspect", "freed": 5}) == ""


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("softirq NET_RX", "in softirq NET_RX (on whatever task ran)"),
        ("hardirq", "in hardirq (on whatever task ran)"),
        ("timer neigh_timer_handler", "in a timer neigh_timer_handler (on whatever task ran)"),
        ("RCU callback f", "in an RCU callback f (on whatever task ran)"),
        ("work item wb_workfn", "by work item wb_workfn (in whatever thread ran it)"),
        ("task", ""), ("kernel thread kswapd", ""), ("irq thread f", ""), ("", ""),
    ],
)  # fmt: skip
def test_words_for_contexts(context: str, expected: str) -> None:
    assert allocated_in(context) == expected
