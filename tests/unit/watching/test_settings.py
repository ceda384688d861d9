# SPDX-License-Identifier: Apache-2.0
"""Settings of a file and of options: one reader for both, and errors that name the key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from slabtrace.errors import UsageError
from slabtrace.watching.settings import AtMost, Settings, settings_of

TEXT = """
folder = "/srv/watch"
rotate = "30min"
keep = 48
disk = "4GiB"
every = 300
cpu = "2%"
when = ["growth > 10MiB/h for 10min", "finding"]
at_most = "2/h"
record = "90s"
inspect = 0
on_finding = ["/usr/bin/page me", "--now"]
textfile = "/var/lib/node/slabtrace.prom"
listen = "9796"
cache = "kmalloc-*"
"""


def test_a_whole_file() -> None:
    made = settings_of(tomllib.loads(TEXT), "f.toml")
    assert (made.folder, made.rotate, made.keep, made.disk) == (Path("/srv/watch"), 1800, 48, 4 << 30)
    assert (made.every, made.cpu, made.at_most, made.record) == (300, 0.02, AtMost(2, 3600), 90)
    assert [each.kind for each in made.when] == ["SUnreclaim", "finding"]
    assert made.on_finding == ("/usr/bin/page me", "--now")
    assert (made.inspect, made.cache, made.listen) == (0, ("kmalloc-*",), "9796")
    assert made.part_bytes * (made.keep + 2) + 4 * made.triggered_bytes <= made.disk


def test_without_any() -> None:
    assert settings_of({}, "f.toml") == Settings()


def test_options_go_before_the_file_and_are_read_alike() -> None:
    options = {"keep": "12", "every": "10min", "on_finding": "page 'with words' $HOME", "when": ("finding",)}
    made = settings_of(tomllib.loads(TEXT), "f.toml", options)
    assert (made.keep, made.every, made.disk) == (12, 600, 4 << 30)
    assert made.on_finding == ("page", "with words", "$HOME")  # no shell reads it
    assert len(made.when) == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("kept", 3, "f.toml: watch.kept is not known"),
        ("keep", 1, "watch.keep: 1 is no number from 2"),
        ("keep", True, "watch.keep: True is no number"),
        ("keep", "many", "watch.keep: 'many' is no number"),
        ("rotate", "1s", "watch.rotate: 1s is not between"),
        ("rotate", [], "watch.rotate: .* is no number"),
        ("every", "often", "watch.every: 'often' is not a duration"),
        ("disk", "1MiB", "watch.disk: it must be at least 64MiB"),
        ("disk", "big", "watch.disk: 'big' is not a size"),
        ("cpu", "200%", "watch.cpu: '200%' is no share"),
        ("sample", "1/3", "watch.sample: '1/3' is no sample"),
        ("sample", 16, "watch.sample: 16 is no sample"),
        ("budget", "much", "watch.budget: 'much' is no share"),
        ("threshold", "1h", "watch.threshold: 1h is not between 0.05 s and 120 s"),
        ("at_most", "4", "watch.at_most: '4' is not a number of times"),
        ("when", "growth > 1", "watch.when: .* is no trigger"),
        ("when", 5, "watch.when: "),
        ("when", ["finding"] * 33, "at most 32"),
        ("on_finding", "'a", "watch.on_finding: No closing quotation"),
        ("folder", "", "watch.folder: a path is missing"),
        ("folder", "a\0b", "watch.folder: .* is no text"),
        ("listen", 9796, "watch.listen: 9796 is no text"),
    ],
)
def test_wrong_values_are_named(key: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings_of({key: value}, "f.toml")


def test_a_wrong_option_is_named_as_it_is_written() -> None:
    with pytest.raises(UsageError, match="--at-most: 'often' is not a number of times"):
        settings_of({}, "", {"at_most": "often"})


def test_whether_the_series_can_go_on() -> None:
    settings = settings_of({}, "")
    assert settings.same_recording(settings_of({"when": "finding", "every": "1h"}, ""))
    assert not settings.same_recording(settings_of({"rotate": "2h"}, ""))
    assert not settings.same_recording(settings_of({"cache": ["dentry"]}, ""))
