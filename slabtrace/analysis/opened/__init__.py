# SPDX-License-Identifier: Apache-2.0
"""A trace opened for analysis: its side tables, the passes over its events, and what it can vouch for."""
