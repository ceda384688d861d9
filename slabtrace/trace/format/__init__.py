# SPDX-License-Identifier: Apache-2.0
"""What a trace holds: every column, and the types they are in memory."""
