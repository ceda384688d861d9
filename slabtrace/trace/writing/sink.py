# SPDX-License-Identifier: Apache-2.0
"""What a recording is written to: a folder (writer.TraceWriter), or the memory of a live view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest


class Sink(Protocol):
    """What the recorder writes to, from its storing thread only; rows come before what refers to them."""

    manifest: Manifest

    def events(self, batch: EventBatch) -> None:
        """Take the next events; a batch consists of runs in time order (EventBatch)."""

    def rows(self, table: str, columns: Mapping[str, Any]) -> None:
        """Take rows of a side table (a key of schema.SIDE_TABLES), as columns of one length."""

    def save_manifest(self) -> None:
        """Save the manifest, which has changed."""

    def close(self, status: str) -> None:
        """End the recording."""

    @property
    def bytes(self) -> int:
        """Bytes written so far."""

    @property
    def segments(self) -> int:
        """Number of files of events begun."""
