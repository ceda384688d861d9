# SPDX-License-Identifier: Apache-2.0
"""What this kernel is and has: BTF, features, symbols, modules, slabinfo."""
