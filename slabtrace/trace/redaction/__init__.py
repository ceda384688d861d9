# SPDX-License-Identifier: Apache-2.0
"""A copy of a trace to show to strangers."""
