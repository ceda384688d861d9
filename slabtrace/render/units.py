# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them: see slabtrace.units, which the analysis' sentences use too."""

from slabtrace.units import NOT_KNOWN, byte_unit, count, duration, percent, plural, rate, size, unknown

__all__ = ["NOT_KNOWN", "byte_unit", "count", "duration", "percent", "plural", "rate", "size", "unknown"]
