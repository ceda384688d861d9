# SPDX-License-Identifier: Apache-2.0
"""Which outstanding objects are leaks: growth, survival, classes, rules, comparing two recordings."""
