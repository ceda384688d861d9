# SPDX-License-Identifier: Apache-2.0
"""An ordinary trace, made of records: all is named, and losses and doubts are written down."""
