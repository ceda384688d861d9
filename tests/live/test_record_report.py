# SPDX-License-Identifier: Apache-2.0
"""Record and report in one command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_record_writes_the_report_too(tmp_path: Path) -> None:
    trace, page = tmp_path / "t.slab", tmp_path / "t.html"
    argv = [
        sys.executable,
        "-m",
        "slabtrace",
        "record",
        "-o",
        str(trace),
        "--report",
        str(page),
        "--",
        "true",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"report: {page}" in done.stderr
    assert page.read_text().rstrip().endswith("</html>") and (trace / "manifest.json").exists()
    again = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "exists" in again.stderr
