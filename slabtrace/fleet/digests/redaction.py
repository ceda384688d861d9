# SPDX-License-Identifier: Apache-2.0
"""A digest for strangers: names of one machine become pseudonyms that only the operator's key can make again.

Within a fleet they are stable, so hosts can be counted and labels compared; another key gives others.  What
the analysis needs stays: functions, caches, modules, releases, sizes, rates.
"""

from __future__ import annotations

import hmac
import json
from hashlib import blake2b
from typing import TYPE_CHECKING

from slabtrace.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

LEAST_KEY = 16  # bytes: a short key can be guessed, and then all names can be tried
DIGITS = 12
# Column, and what its pseudonyms begin with.
REPLACED = {
    "host": "host", "boot_id": "boot", "build_id": "build", "trace": "trace", "command": "command",
    "cgroup": "cgroup", "unit": "unit", "container": "container",
}  # fmt: skip
EMPTIED = ("kernel", "filters", "cache_globs", "damage", "verdict", "why", "doubt")
OF_TIME = ("boot_s", "begin_s", "end_s")
BUCKET_S = 86_400  # the day stays, the time of day does not


def redacted(frame: pd.DataFrame, key: bytes) -> pd.DataFrame:
    """columns.fleet.DIGEST without what identifies machine or user.  Raises UsageError for a short key."""
    if len(key) < LEAST_KEY:
        raise UsageError(
            f"the key has {len(key)} bytes", f"use {LEAST_KEY} or more: head -c 32 /dev/urandom > KEY"
        )
    made = frame.copy()
    for name, word in REPLACED.items():
        made[name] = [_pseudonym(key, word, text) for text in frame[name]]
    for name in EMPTIED:
        made[name] = ["redacted" if text else "" for text in frame[name]]
    for name in OF_TIME:
        made[name] = frame[name] // BUCKET_S * BUCKET_S
    made["labels"] = [_labels(key, text) for text in frame["labels"]]
    made["status"] = [
        text if text in ("complete", "recording") else "failed: redacted" for text in frame["status"]
    ]
    made["fingerprint"] = [_pseudonym(key, "", text) for text in frame["fingerprint"]]
    return made


def _pseudonym(key: bytes, word: str, text: str) -> str:
    if not text:
        return ""
    made = hmac.new(key, f"{word}\0{text}".encode("utf-8", "surrogatepass"), blake2b).hexdigest()
    return f"{word}-{made[:DIGITS]}" if word else made[:32]


def _labels(key: bytes, text: str) -> str:
    """The names of labels stay, their values become pseudonyms."""
    return json.dumps({name: _pseudonym(key, "value", value) for name, value in json.loads(text).items()})
