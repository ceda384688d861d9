# SPDX-License-Identifier: Apache-2.0
"""Recordings with a known truth, made by chance: how often the verdict is right.

scenarios.py has the populations, judging.py gives them to slabtrace's own tests, `python -m
tests.verdict.simulated` counts.  A population is what one group of a recording would be: when objects
come, how long they live, and when objects from before the recording are freed.  Times are in units of the
recording.
"""
