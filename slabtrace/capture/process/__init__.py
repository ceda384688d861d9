# SPDX-License-Identifier: Apache-2.0
"""What the recorder's own process may do, and the command that it runs."""
