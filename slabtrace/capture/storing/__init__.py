# SPDX-License-Identifier: Apache-2.0
"""What is written while recording: batches, losses, totals, and the slab check at the end."""
