# SPDX-License-Identifier: Apache-2.0
"""Forty ordinary kinds of objects at once, in one recording: those that leak, and those that do not."""
