# SPDX-License-Identifier: Apache-2.0
"""The commands that read a trace; never as root, even through sudo."""
