# SPDX-License-Identifier: Apache-2.0
"""What is written down while recording: batches, losses, totals, the slabs asked at the end."""
