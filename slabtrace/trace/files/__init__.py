# SPDX-License-Identifier: Apache-2.0
"""The files and folders of a trace, opened and made safely."""
