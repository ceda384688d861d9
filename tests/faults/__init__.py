# SPDX-License-Identifier: Apache-2.0
"""Faults done to recorders on this machine, many times or for long: `python -m tests.faults`, as root.

What is quick and repeatable of it runs with every `make test` (tests/live).
"""
