# SPDX-License-Identifier: Apache-2.0
"""What a user says of a recording: limits that it must keep, and findings that are known."""
