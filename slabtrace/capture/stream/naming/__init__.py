# SPDX-License-Identifier: Apache-2.0
"""Names of tasks: those that run already, and in a PID namespace the numbers that events have."""
