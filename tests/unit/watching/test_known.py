# SPDX-License-Identifier: Apache-2.0
"""Findings that are known: reported once a boot and class, since when, and never too many."""

from __future__ import annotations

import json

from slabtrace.watching.known import DAY_S, MOST, MOST_NEW, Known, from_json
from tests.unit.watching.fake import row

BOOT, LATER = "boot-1", "boot-2"


def test_a_finding_is_reported_once() -> None:
    known = Known()
    (found,) = known.take([row()], 5000.0, 700.0, BOOT)
    assert (found.first_seen_s, found.since_s, found.first_seen_boot_s) == (5000.0, 4900.0, 700.0)
    assert known.take([row(objects=20, oldest_s=700)], 5600.0, 1300.0, BOOT) == []
    (found,) = known.all()
    assert (found.first_seen_s, found.last_seen_s, found.since_s) == (5000.0, 5600.0, 4900.0)
    assert (found.objects, found.first_seen_boot_s) == (20, 700.0)
    assert found.growth_certain_bytes_per_s == 43_200 / DAY_S == 0.5


def test_what_grew_is_reported_again_when_it_is_a_suspect() -> None:
    known = Known()
    assert [each.class_ for each in known.take([row(**{"class": "growing"})], 1, 1, BOOT)] == ["growing"]
    assert [each.class_ for each in known.take([row()], 2, 2, BOOT)] == ["suspect"]
    assert known.take([row(**{"class": "growing"})], 3, 3, BOOT) == []
    assert known.take([row()], 4, 4, BOOT) == []


def test_after_a_reboot_it_is_reported_again_and_known_since_before() -> None:
    known = Known()
    known.take([row()], 5000.0, 700.0, BOOT)
    (found,) = known.take([row(oldest_s=1)], 90_000.0, 60.0, LATER)
    assert (found.first_seen_s, found.boots, found.first_seen_boot_s) == (5000.0, 2, 60.0)
    assert known.take([row()], 90_010.0, 70.0, LATER) == []


def test_what_is_gone_is_kept_and_not_present() -> None:
    known = Known()
    known.take([row("1:a"), row("1:b")], 1, 1, BOOT)
    known.take([row("1:b")], 2, 2, BOOT)
    assert [(each.signature, each.present) for each in known.all()] == [("1:b", True), ("1:a", False)]


def test_stacks_of_one_issue_are_summed_and_what_does_not_grow_is_left_out() -> None:
    known = Known()
    rows = [row(objects=3, bytes=30), row(objects=4, bytes=40), row(**{"class": "growing", "objects": 99})]
    (found,) = known.take([*rows, row("1:x", **{"class": "retained"})], 1, 1, BOOT)
    assert (found.objects, found.bytes, found.class_) == (7, 70, "suspect")


def test_a_part_that_is_recorded_does_not_settle_anything() -> None:
    known = Known()
    known.take([row("1:a"), row("1:b"), row("1:c")], 1, 1, BOOT)
    said = [row("1:a", **{"class": "growing"}), row("1:b", **{"class": "retained"})]
    rows = known.settled(said, BOOT, ended=False)
    assert [each["class"] for each in rows] == ["suspect", "retained"]
    assert known.take(rows, 2, 2, BOOT, ended=False) == []
    assert all(each.present and each.class_ == "suspect" for each in known.all())
    assert [each["class"] for each in known.settled(said, BOOT, ended=True)] == ["growing", "retained"]
    known.take(known.settled(said, BOOT, ended=True), 3, 3, BOOT)
    assert [(each.signature, each.class_) for each in known.all() if each.present] == [("1:a", "growing")]


def test_what_a_triggered_recording_confirms_is_a_suspect_while_it_grows() -> None:
    known = Known()
    growing = [row("1:a", **{"class": "growing"}), row("1:b", **{"class": "growing"})]
    known.take(growing, 1, 1, BOOT)
    (found,) = known.confirm([row("1:a"), row("1:x"), row("1:b", **{"class": "growing"})], 2)
    assert (found.signature, found.class_, found.confirmed_s) == ("1:a", "suspect", 2)
    assert known.confirm([row("1:a")], 3) == []  # reported already
    rows = known.settled(growing, BOOT, ended=True)
    assert [each["class"] for each in rows] == ["suspect", "growing"]
    assert known.take(rows, 4, 4, BOOT) == []
    assert [each["class"] for each in known.settled(growing, LATER, ended=True)] == ["growing", "growing"]
    known.take(growing, 5, 5, LATER)
    assert all(each.confirmed_s == 0 for each in known.all())


def test_ten_thousand_issues_do_not_grow_it() -> None:
    known = Known()
    for turn in range(100):
        rows = [row(f"1:{turn}-{at}", growth_low_per_day=at) for at in range(100)]
        assert len(known.take(rows, turn, turn, BOOT)) == MOST_NEW
    assert len(known.all()) == MOST
    assert sum(each.present for each in known.all()) == MOST_NEW
    assert known.all()[0].signature == "1:99-99"


def test_it_is_saved_and_read_again() -> None:
    known = Known()
    known.take([row("1:a", stack="x\ny" * 9000, title="é\udc80" * 500)], 5000.0, 700.0, BOOT)
    saved = json.loads(json.dumps(known.to_json()))
    again = from_json(saved)
    assert again.to_json() == known.to_json()
    assert again.take([row("1:a")], 6000.0, 1700.0, BOOT) == []
    assert len(json.dumps(saved)) < 20_000


def test_a_damaged_state_is_left_out() -> None:
    known = Known()
    known.take([row("1:a"), row("1:b")], 1, 1, BOOT)
    saved = known.to_json()
    saved[0]["objects"] = "many"
    assert [each.signature for each in from_json([*saved, None, {}]).all()] == [saved[1]["signature"]]
    assert from_json("x").all() == from_json(None).all() == []
