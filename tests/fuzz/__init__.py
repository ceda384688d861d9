# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile traces, by the thousand: python -m tests.fuzz [CASES] [--seed N]."""
