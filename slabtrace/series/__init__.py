# SPDX-License-Identifier: Apache-2.0
"""Rotation, all of it: a long recording as a series of traces, and what each part leaves to the next.

`record --rotate` gives the recorder a Series (series.py) as its sink.  At a boundary the Series closes its
part and begins the next (parts.py) with what was last known (last_known.py).  What the ended part leaves is
carried into it (carry.py, in a process of its own: carry_process.py); then parts beyond `--keep` are deleted.
The folder carried/ is read back by trace/reading/reader.py, as the beginning of the part's events.
"""
