# SPDX-License-Identifier: Apache-2.0
"""The recorder's own process: its privileges and priority, and the command that it runs."""
