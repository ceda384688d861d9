# SPDX-License-Identifier: Apache-2.0
"""Reads thousands of damaged and hostile traces: python -m tests.fuzz [CASES] [--seed N]."""
