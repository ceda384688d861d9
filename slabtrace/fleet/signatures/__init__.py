# SPDX-License-Identifier: Apache-2.0
"""What names an issue on any host: folded stacks, and lists of frames that do not count."""
