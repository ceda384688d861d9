# SPDX-License-Identifier: Apache-2.0
"""A recording that is paired and judged as it goes, and not stored: what `slabtrace top` shows."""
