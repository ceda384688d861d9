# SPDX-License-Identifier: Apache-2.0
"""Frees that contradict what was seen: found, proved, and worded; afterwards and while recording."""
