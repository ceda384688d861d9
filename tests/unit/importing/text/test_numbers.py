# SPDX-License-Identifier: Apache-2.0
"""Numbers of fields as kernels print them, and as damaged recordings have them."""

from __future__ import annotations

import re

import pytest

from slabtrace.importing.text import fields


@pytest.mark.parametrize(
    ("printed", "number"),
    [
        ("64", 64), ("0x40", 64), ("-1", -1), ("0", 0),
        ("007", 9), ("-04205500", 9), ("-00", 9), ("", 9),  # no number that anybody prints
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_is_none(printed: str, number: int) -> None:
    assert fields._number(re.compile(rb"node=(-?(?:0x)?[0-9a-f]+)"), f"node={printed} ".encode(), 9) == number
