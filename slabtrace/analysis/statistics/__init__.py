# SPDX-License-Identifier: Apache-2.0
"""Tests, intervals and limits for counts of events in time.  Plain numbers in and out: nothing of traces."""
