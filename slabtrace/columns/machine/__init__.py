# SPDX-License-Identifier: Apache-2.0
"""Tables of a machine rather than of a recording: its memory, what its objects are, snapshots of its kernel."""
