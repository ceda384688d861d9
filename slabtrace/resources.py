# SPDX-License-Identifier: Apache-2.0
"""Where the files that are not Python lie: the BPF C and the report templates and styles.

A wheel carries them inside the package, in `_data/` (pyproject.toml puts them there); a
checkout, editable installs included, has them beside the package.
"""

from __future__ import annotations

from pathlib import Path

from slabtrace.errors import SlabtraceError

_PACKAGE = Path(__file__).resolve().parent


def bpf_dir() -> Path:
    """The absolute path of the folder `bpf/`; SlabtraceError if the installation lacks it."""
    return _find("bpf")


def reports_dir() -> Path:
    """The absolute path of the folder `reports/`; SlabtraceError if the installation lacks it."""
    return _find("reports")


def _find(name: str) -> Path:
    for place in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if place.is_dir():
            return place
    raise SlabtraceError(
        f"this installation of slabtrace lacks its {name}/ files (looked in {_PACKAGE})",
        "reinstall it: pip install --force-reinstall slabtrace",
    )
