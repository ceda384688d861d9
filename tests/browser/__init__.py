# SPDX-License-Identifier: Apache-2.0
"""Tests of pages in headless Chromium; they need Debian's chromium, but not root."""
