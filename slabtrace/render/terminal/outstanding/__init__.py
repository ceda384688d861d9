# SPDX-License-Identifier: Apache-2.0
"""The text of what is outstanding: findings as cards, groups, and who holds them."""
