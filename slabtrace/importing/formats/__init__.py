# SPDX-License-Identifier: Apache-2.0
"""Readers of other tools' recordings: each turns a format into records, and notes what it says of losses."""
