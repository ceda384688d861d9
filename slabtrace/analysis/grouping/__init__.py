# SPDX-License-Identifier: Apache-2.0
"""Allocation sites and live objects put together: by stack, process, cache."""
