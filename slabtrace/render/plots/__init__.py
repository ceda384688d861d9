# SPDX-License-Identifier: Apache-2.0
"""Pictures of tables from the analysis; the only package that imports matplotlib.

One module per picture, each with one function that makes a Figure; `canvas.py` holds what they
share.  Colours, sizes and fonts are in reports/slabtrace.mplstyle.  The tables are aggregated, so
nothing here grows with the number of events.
"""
