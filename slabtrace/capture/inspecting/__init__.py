# SPDX-License-Identifier: Apache-2.0
"""What objects are, and who points at them: read from the kernel's memory."""
