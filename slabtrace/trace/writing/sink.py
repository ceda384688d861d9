# SPDX-License-Identifier: Apache-2.0
"""Where a recording goes: a folder of files (writer.TraceWriter), or the memory of a live view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest


class Sink(Protocol):
    """What the recorder writes into, all from its storing thread; rows come before what refers to them."""

    manifest: Manifest

    def events(self, batch: EventBatch) -> None:
        """The next events; within a batch run by run (EventBatch)."""

    def rows(self, table: str, columns: Mapping[str, Any]) -> None:
        """Rows of a side table (a key of schema.SIDE_TABLES), as columns of one length."""

    def save_manifest(self) -> None:
        """The manifest has changed."""

    def close(self, status: str) -> None:
        """Nothing follows."""

    @property
    def bytes(self) -> int:
        """What was written so far."""

    @property
    def segments(self) -> int:
        """How many files of events were begun."""
