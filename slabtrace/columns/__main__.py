# SPDX-License-Identifier: Apache-2.0
"""`python -m slabtrace.columns` prints docs/tables.md."""

from __future__ import annotations

import sys

from slabtrace.columns.page import page

sys.stdout.write(page())
