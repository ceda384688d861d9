# SPDX-License-Identifier: Apache-2.0
"""Many traces: digests of them, merged by issue, and what the affected hosts have in common."""
