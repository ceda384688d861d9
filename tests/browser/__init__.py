# SPDX-License-Identifier: Apache-2.0
"""Pages opened in headless Chromium; needs no root, but Debian's chromium."""
