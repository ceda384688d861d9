# SPDX-License-Identifier: Apache-2.0
"""Pages that are no slabs: what can be said of objects in them, and which are of the kernel."""
