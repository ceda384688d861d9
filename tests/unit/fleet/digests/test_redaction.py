# SPDX-License-Identifier: Apache-2.0
"""A redacted digest names nothing of its machine, and is still of the same host for whoever has the key."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from slabtrace.errors import UsageError
from slabtrace.fleet.digests.file import Digest, encoded
from slabtrace.fleet.digests.redaction import redacted
from tests.unit.fleet.fleets import template

KEY, OTHER = b"k" * 32, b"o" * 32
SECRET = {
    "host": "db-secret-1", "boot_id": "secret-boot", "build_id": "secretbuild", "kernel": "#1 secret@builder",
    "command": "/opt/secret/run", "cgroup": "/secret.slice", "unit": "secret.service",
    "container": "secretpod",
    "labels": json.dumps({"role": "secret-role"}), "filters": "--comm secret", "trace": "secret.slab",
    "status": "failed: secret disk", "verdict": "secret", "damage": "secret", "why": "secret",
}  # fmt: skip


def frame_of(**values: Any) -> pd.DataFrame:
    trace, leak = template()
    return pd.DataFrame([{**trace, **SECRET, **values}, {**leak, **SECRET, **values}])


def test_no_secret_is_left() -> None:
    made = redacted(frame_of(), KEY)
    text = made.to_csv()
    assert "secret" not in text
    assert "load_msg" in text and "role" in text  # functions and names of labels stay
    assert b"secret" not in encoded(made)
    assert Digest(encoded(made), "d").trace()["host"].startswith("host-")


def test_pseudonyms_are_stable_with_one_key_and_differ_with_another() -> None:
    first, again = redacted(frame_of(), KEY), redacted(frame_of(boot_id="other"), KEY)
    assert first["host"].tolist() == again["host"].tolist()
    assert first["boot_id"].tolist() != again["boot_id"].tolist()
    assert first["host"].tolist() != redacted(frame_of(), OTHER)["host"].tolist()
    assert json.loads(first["labels"][0]).keys() == {"role"}


def test_equal_texts_of_different_columns_are_not_linked() -> None:
    made = redacted(frame_of(host="same", command="same"), KEY).iloc[0]
    assert made["host"].partition("-")[2] != made["command"].partition("-")[2]


def test_what_is_empty_stays_empty_and_the_time_of_day_goes() -> None:
    made = redacted(frame_of(unit="", begin_s=86_400 * 20_000 + 4_321), KEY)
    assert made["unit"].tolist() == ["", ""]
    assert made["begin_s"][0] == 86_400 * 20_000


def test_a_short_key_is_refused() -> None:
    with pytest.raises(UsageError, match="the key has 5 bytes"):
        redacted(frame_of(), b"short")
