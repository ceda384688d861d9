# SPDX-License-Identifier: Apache-2.0
"""A redacted copy of a trace, to show to strangers."""
