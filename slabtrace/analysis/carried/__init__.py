# SPDX-License-Identifier: Apache-2.0
"""What earlier parts of a series counted: gathered when a part is carried, read back when one is judged."""
