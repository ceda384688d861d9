# SPDX-License-Identifier: Apache-2.0
"""From events to lifetimes: the streaming pairing, and which records are one event."""
