# SPDX-License-Identifier: Apache-2.0
"""What is known of the running kernel: BTF, features, symbols, modules, slabinfo."""
