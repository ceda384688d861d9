# SPDX-License-Identifier: Apache-2.0
"""HTML pages: one self-contained file each, made from the templates, style and script in reports/.

Every text of the traced machine passes jinja2's autoescape or ElementTree.  Only `page.py` decides
what a page may run and load.
"""
