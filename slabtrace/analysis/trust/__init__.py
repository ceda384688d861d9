# SPDX-License-Identifier: Apache-2.0
"""What the trace can vouch for: losses, the account beside the kernel's own, confidence."""
