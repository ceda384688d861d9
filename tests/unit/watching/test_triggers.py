# SPDX-License-Identifier: Apache-2.0
"""The grammar of --when: what is understood, and how what is not is refused."""

from __future__ import annotations

import pytest

from slabtrace.errors import UsageError
from slabtrace.watching.triggers import CACHE, FINDING, MEMORY, Trigger, parse_trigger

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("growth > 10MiB/h for 10min", Trigger("", MEMORY, "*", 10 * MIB / 3600, True, 600.0)),
        ("growth>10MiB/h", Trigger("", MEMORY, "*", 10 * MIB / 3600, True, 600.0)),
        ("SUnreclaim > 36KiB/h for 1 h", Trigger("", MEMORY, "*", 10.24, True, 3600.0)),
        ("SUnreclaim growth > 36KiB/h for 2min", Trigger("", MEMORY, "*", 10.24, True, 120.0)),
        ("SUnreclaim > 4GiB", Trigger("", MEMORY, "*", 4096 * MIB, False, 0.0)),
        ("SUnreclaim > 4GiB for 30s", Trigger("", MEMORY, "*", 4096 * MIB, False, 30.0)),
        ("cache kmalloc-64 > 1MiB", Trigger("", CACHE, "kmalloc-64", MIB, False, 0.0)),
        ("cache 'my cache*' > 1MiB/s for 1min", Trigger("", CACHE, "my cache*", MIB, True, 60.0)),
        ("growth of cache dentry > 1MiB/s", Trigger("", CACHE, "dentry", MIB, True, 600.0)),
        ("finding", Trigger("", FINDING, classes=("suspect",))),
        ("finding growing", Trigger("", FINDING, classes=("growing",))),
        ("finding suspect growing", Trigger("", FINDING, classes=("suspect", "growing"))),
        ("finding '*a < b*'", Trigger("", FINDING, "*a < b*", classes=("suspect",))),
        ("finding > 60B/min", Trigger("", FINDING, "*", 1.0, True, classes=("suspect",))),
    ],
)
def test_what_is_understood(text: str, trigger: Trigger) -> None:
    made = parse_trigger(text)
    assert made.text == text
    assert made == Trigger(text, *list(vars(trigger).values())[1:])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin with"),
        ("grow > 1MiB/h", "does not begin with"),
        ("growth", "has no limit"),
        ("growth >", "has no limit"),
        ("growth > 10MiB for 10min", "'10MiB' is no growth"),
        ("growth > much/h", "is not a growth"),
        ("growth > 1MiB/h for ever", "is not a duration"),
        ("growth > 1MiB/h for 1s", "for 1min to 1d"),
        ("SUnreclaim > 1GiB for 2d", "for up to 1d"),
        ("SUnreclaim > lots", "is not a size"),
        ("cache > 1GiB", "does not begin with"),
        ("cache a b > 1GiB", "does not begin with"),
        ("cache 'a > 1GiB", "No closing quotation"),
        ("finding a b", "one word too many"),
        ("finding > 1GiB", "is not a growth"),
        ("finding >", "is not a growth"),
        ("x" * 201, "at most 200 characters"),
    ],
)
def test_what_is_not_understood_is_said(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        parse_trigger(text)
    assert "growth > 10MiB/h for 10min" in raised.value.remedy
