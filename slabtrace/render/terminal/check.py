# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace check`: passed, or what breaks which rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.suppressed import Used, write_suppressed
from slabtrace.render.terminal.text import escape, write_paragraph
from slabtrace.units import plural

if TYPE_CHECKING:
    import pandas as pd

FRAMES_SHOWN = 8


def write_check(out: TextIO, findings: pd.DataFrame, rules: Any, used: Sequence[Used]) -> None:
    """Write `findings` (rows of analysis' broken()); `rules`: a dataclass, None: not asked."""
    for row in findings.to_dict("records"):
        where = f" {row['cache']}:" if isinstance(row["cache"], str) else ""
        write_paragraph(out, f"{row['rule']}:{where} {row['finding']}")
        if isinstance(row["why"], str):
            write_paragraph(out, f"  {row['why']}")
        frames = list(row["stack"]) if isinstance(row["stack"], list) else []
        frames = frames or ([row["symbol"]] if isinstance(row["symbol"], str) and row["symbol"] else [])
        out.writelines(f"    {escape(frame)}\n" for frame in frames[:FRAMES_SHOWN])
    asked = [name for name, value in vars(rules).items() if value is not None and value is not False]
    checked = f"checked: {', '.join(asked)}"
    verdict = f"failed: {plural(len(findings), 'finding')}" if len(findings) else "passed"
    write_paragraph(out, f"{verdict} ({checked})")
    write_suppressed(out, used)
