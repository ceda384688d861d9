# SPDX-License-Identifier: Apache-2.0
"""Reports of whole machines: the account of memory, the census, snapshots, fleets."""
