# SPDX-License-Identifier: Apache-2.0
"""By hand, as root: one run recorded by slabtrace, perf and ftrace at once; the recordings compared."""
