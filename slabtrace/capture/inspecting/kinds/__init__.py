# SPDX-License-Identifier: Apache-2.0
"""Kinds of objects: by what each is recognised, and what is said of it."""
