# SPDX-License-Identifier: Apache-2.0
"""Who makes the digests: this process, or Dask."""
