# SPDX-License-Identifier: Apache-2.0
"""Who points at objects: the search of kernel memory, and what its hits mean."""
