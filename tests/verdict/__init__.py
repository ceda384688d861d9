# SPDX-License-Identifier: Apache-2.0
"""The proving ground: live loads whose truth is known, leaks and flat ones, recorded and judged."""
