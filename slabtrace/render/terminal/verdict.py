# SPDX-License-Identifier: Apache-2.0
"""What every report ends with: how complete the trace is, and what its files lack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TextIO

from slabtrace.render.terminal.text import write_paragraph


class Verdict(Protocol):
    """The part of analysis' Completeness that is shown under every table."""

    @property
    def verdict(self) -> str:
        """One sentence."""


def write_verdict(out: TextIO, completeness: Verdict, damage: Sequence[str]) -> None:
    """Write the completeness verdict and, before it, each damage to the trace's files."""
    out.write("\n")
    for sentence in damage:
        write_paragraph(out, f"damaged: {sentence}")
    write_paragraph(out, completeness.verdict)
