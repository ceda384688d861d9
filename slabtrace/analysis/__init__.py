# SPDX-License-Identifier: Apache-2.0
"""Tables in, tables out: pairing, completeness, groups, usage.  Never imports capture or render."""
