# SPDX-License-Identifier: Apache-2.0
"""A long recording as a series of traces: when a part ends, and what it leaves to the next."""
