# SPDX-License-Identifier: Apache-2.0
"""No test here depends on how fast the machine is, nor, unless asked to, on chance.

`make test` tries the same cases on every machine, so that what passed here passes there.
HYPOTHESIS_PROFILE=explore looks for new ones; a case found becomes an @example beside its test.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
