# SPDX-License-Identifier: Apache-2.0
"""From the kernel to the trace: the only part that needs root and bcc."""
