# SPDX-License-Identifier: Apache-2.0
"""HTML pages: one self-contained file each, made of the templates, style and script in reports/.

Every text of the traced machine passes jinja2's autoescape or ElementTree; `page.py` is the one
place that knows what a page may run and load.
"""
