# SPDX-License-Identifier: Apache-2.0
"""No test here depends on how fast the machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no timings", deadline=None)
settings.load_profile("no timings")
