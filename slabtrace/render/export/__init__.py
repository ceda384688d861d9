# SPDX-License-Identifier: Apache-2.0
"""Traces in the formats of other tools, one module each: a table in, bytes or text to a stream out."""
