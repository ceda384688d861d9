# SPDX-License-Identifier: Apache-2.0
"""Tests do not depend on the speed of the machine, and by default not on random numbers.

`make test` tries the same cases on every machine, so that results are repeatable.
HYPOTHESIS_PROFILE=explore looks for new cases; one that fails is added as an @example to its test.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
