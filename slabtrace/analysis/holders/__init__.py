# SPDX-License-Identifier: Apache-2.0
"""Whether objects are held or lost, and the tables of a census; nothing here reads a kernel."""
