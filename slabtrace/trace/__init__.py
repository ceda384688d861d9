# SPDX-License-Identifier: Apache-2.0
"""Data at rest: the trace format, its writer and its reader."""
