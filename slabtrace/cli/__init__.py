# SPDX-License-Identifier: Apache-2.0
"""What commands share: options, opening a trace, filters, files written whole, progress."""
