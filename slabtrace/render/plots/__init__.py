# SPDX-License-Identifier: Apache-2.0
"""Pictures of tables from the analysis; the only package that imports matplotlib.

One module per picture, each with one function that makes a Figure; `canvas.py` holds what they
share.  The look (colours, sizes, fonts) is reports/slabtrace.mplstyle.  Tables come aggregated:
nothing here grows with the number of events.
"""
