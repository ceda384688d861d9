# SPDX-License-Identifier: Apache-2.0
"""Columns of digests, of the report on a fleet, and of the comparison of two."""

from __future__ import annotations

from slabtrace.columns.fleet.digest import DIGEST, FINDING_FACTS, TRACE_FACTS
from slabtrace.columns.fleet.report import FLEET, FLEET_DIFF

__all__ = ["DIGEST", "FINDING_FACTS", "FLEET", "FLEET_DIFF", "TRACE_FACTS"]
