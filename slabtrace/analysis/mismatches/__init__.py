# SPDX-License-Identifier: Apache-2.0
"""Frees that contradict earlier events: double, invalid and wrong-cache frees, with their evidence."""
