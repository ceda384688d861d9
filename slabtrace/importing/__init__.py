# SPDX-License-Identifier: Apache-2.0
"""Recordings of other tools as ordinary traces: formats are read into records, and records made a trace."""
