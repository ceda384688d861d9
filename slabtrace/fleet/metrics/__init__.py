# SPDX-License-Identifier: Apache-2.0
"""The newest digest as OpenMetrics: for a textfile, and for an endpoint."""
