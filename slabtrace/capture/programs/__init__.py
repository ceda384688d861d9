# SPDX-License-Identifier: Apache-2.0
"""The BPF programs: compiled, completed, loaded, attached; and what they need to know."""
