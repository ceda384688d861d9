# SPDX-License-Identifier: Apache-2.0
"""The screen of `slabtrace top`, and its plain text."""
