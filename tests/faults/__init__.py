# SPDX-License-Identifier: Apache-2.0
"""Faults that recorders must survive, repeated many times or for long: `python -m tests.faults`, as root.

The quick and repeatable ones run with every `make test` (tests/live).
"""
