# SPDX-License-Identifier: Apache-2.0
"""Digests merged: rows of hosts and findings in integers, in any order."""
