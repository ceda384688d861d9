# SPDX-License-Identifier: Apache-2.0
"""The work of other processes beside a test: `python -m tests.noise` keeps all CPUs' slab caches busy.

worker.c says with what.  Live tests must find their own objects beside it: `pytest --noise tests/live`.
"""
