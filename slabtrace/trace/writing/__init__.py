# SPDX-License-Identifier: Apache-2.0
"""Writing a trace while it is recorded."""
