# SPDX-License-Identifier: Apache-2.0
"""Traces in the formats of other tools, one module each: from a table to bytes or text on a stream."""
