# SPDX-License-Identifier: Apache-2.0
"""modules.arrow in memory: which module had an address, and what older traces have instead."""

from __future__ import annotations

import pyarrow as pa

from slabtrace.analysis.names.modules import Module, Modules, load_modules
from slabtrace.trace.format.schema import MODULES
from slabtrace.trace.manifest import Host, Manifest


def test_a_module_that_was_loaded_twice_is_found_by_address() -> None:
    first, second = Module("leaky", "aa", 0x1000, 0x100), Module("leaky", "bb", 0x5000, 0x100)
    modules = Modules([Module("", "cc", 0x100, 0x10), first, second])
    assert modules.at("leaky", 0x1050) == first and modules.at("leaky", 0x5050) == second
    assert modules.at("leaky", 0x9000) == second, "the last, where its memory is not known"
    assert modules.at("other", 0x1050) is None
    assert [each.build_id for each in modules] == ["cc", "aa", "bb"]


def test_rows_with_nulls_read_as_empty() -> None:
    row = dict.fromkeys(MODULES.names, None) | {"name": "odd", "sections": [".text", ".init.text"]}
    table = pa.Table.from_pylist([row | {"section_addresses": [7]}], schema=MODULES)
    (module,) = load_modules(table, Manifest())
    assert module == Module("odd", sections={".text": 7})


def test_an_older_trace_has_the_kernel_alone() -> None:
    manifest = Manifest(started_ns=5, host=Host(build_id="ab", stext=0x1000))
    (kernel,) = load_modules(MODULES.empty_table(), manifest)
    assert kernel == Module("", "ab", 0x1000, since_ns=5)
