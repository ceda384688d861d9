# SPDX-License-Identifier: Apache-2.0
"""Programs that tests need and `sudo make test` installs."""

from __future__ import annotations

import os
import shutil

import pytest


def need_program(*names: str) -> str:
    """The path of the first of `names` that is there.

    Else the test is skipped, or fails where no test may be skipped.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    words = f"this test needs the program {names[0]}; sudo make test installs it"
    if os.environ.get("SLABTRACE_REQUIRE_LIVE") == "1":
        pytest.fail(words)
    pytest.skip(words)
