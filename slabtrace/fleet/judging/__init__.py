# SPDX-License-Identifier: Apache-2.0
"""What the merged rows say: who is affected, since when, and what they have in common."""
