# SPDX-License-Identifier: Apache-2.0
"""What the objects of sites and groups are: with stacks, without, sampled ones, and large kmallocs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.analysis.names.cache_names import LARGE, Caches
from slabtrace.analysis.names.site_objects import SiteObjects, order_of, site_objects
from slabtrace.analysis.names.sites import COLUMNS, Sites
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.trace.format.schema import STACK_NOT_TAKEN, STACKS, SYMBOLS

FUNCTIONS = ["sk_prot_alloc", "sk_alloc", "unix_create1", "copy_process", "my_create", "__alloc_skb"]
FUNCTIONS += ["udp_sendmsg"]
AT = {name: 0xFFFFFFFF81000000 + 0x100 * n for n, name in enumerate(FUNCTIONS)}
SYMBOL_TABLE = pa.Table.from_pylist(
    [{"address": at, "name": name, "offset": 1, "module": "", "since_ns": 0} for name, at in AT.items()],
    SYMBOLS,
)
STACKS_OF = [["sk_prot_alloc", "sk_alloc", "unix_create1"], ["copy_process"], ["sk_prot_alloc", "my_create"]]
STACKS_OF += [["__alloc_skb", "udp_sendmsg"]]
STACK_TABLE = pa.Table.from_pylist(
    [{"stack_id": n, "frames": [AT[each] for each in frames]} for n, frames in enumerate(STACKS_OF)], STACKS
)
CACHES = Caches(["signal_cache", "mnt_cache", LARGE], [["UNIX"], ["posix_timers_cache"], []])


def made(*rows: tuple[int, str, int, int], page_size: int = 4096) -> SiteObjects:
    """Of sites (cache, call site, stack_id, bytes), each with an object outstanding."""
    sites = Sites()
    columns = {name: np.zeros(len(rows), dtype) for name, dtype in COLUMNS.items()}
    columns["call_site"] = np.array([AT[row[1]] for row in rows], np.uint64)
    columns["stack_id"] = np.array([row[2] for row in rows], np.int32)
    columns["bytes_alloc"] = np.array([row[3] for row in rows], np.uint32)
    sites.extend(columns)
    caches = Caches(CACHES.names, CACHES.aliases, of_site=np.array([row[0] for row in rows], np.intp))
    symbols = Symbols(SYMBOL_TABLE)
    held = np.ones(len(rows), np.int64)
    return site_objects(sites, caches, Stacks(STACK_TABLE, symbols), symbols, held, page_size)


def said(found: SiteObjects) -> list[str]:
    return [found.names[each] for each in found.of_site.tolist()]


def test_the_stack_says_it() -> None:
    found = made((0, "sk_prot_alloc", 0, 1024), (0, "copy_process", 1, 1024), (1, "copy_process", 1, 320))
    assert said(found) == ["UNIX socket", "signal state of a process", ""]
    assert found.names[0] == ""


def test_without_a_stack_it_is_what_all_others_of_the_call_site_are() -> None:
    sampled = (0, "sk_prot_alloc", STACK_NOT_TAKEN, 1024)
    assert said(made((0, "sk_prot_alloc", 0, 1024), sampled)) == ["UNIX socket"] * 2
    general = made((2, "__alloc_skb", STACK_NOT_TAKEN, 8192), (2, "__alloc_skb", 3, 8192))
    assert said(general) == ["order 1: data of a UDP datagram"] * 2  # a stack says more than the call site
    differ = made((0, "sk_prot_alloc", 0, 1024), (0, "sk_prot_alloc", 2, 1024), sampled)
    assert said(differ) == ["UNIX socket", "", ""]
    assert said(made(sampled)) == [""]
    assert said(made((0, "copy_process", STACK_NOT_TAKEN, 1024))) == ["signal state of a process"]


def test_a_large_kmalloc_has_its_order() -> None:
    rows = (2, "my_create", -1, 16384), (2, "__alloc_skb", -1, 8192)
    assert said(made(*rows)) == ["order 2", "order 1: data of a socket buffer"]
    assert said(made((2, "my_create", -1, 65536), page_size=65536)) == ["order 0"]


@pytest.mark.parametrize(("pages", "order"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10)])
def test_orders(pages: int, order: int) -> None:
    assert order_of(pages) == order


def test_groups_have_what_most_of_their_objects_are_first() -> None:
    found = SiteObjects(["", "UNIX socket", "mount"], np.array([1, 2, 0]))
    site = np.array([0, 1, 1, 2, 0], np.uint32)
    member = np.array([0, 0, 0, 1, 2])
    assert found.of_groups(member, site, np.array([0, 1, 2])) == ["mount, UNIX socket", "", "UNIX socket"]
    mixed = found.of_groups(np.zeros(5, np.intp), site, np.array([0]))
    assert mixed == ["UNIX socket, mount, other"]


def test_sites_that_hold_nothing_are_not_looked_up() -> None:
    sites = Sites()
    sites.extend({name: np.zeros(3, dtype) for name, dtype in COLUMNS.items()})
    symbols = Symbols(SYMBOL_TABLE)
    caches = Caches(["x"], [[]], of_site=np.zeros(3, np.intp))
    found = site_objects(sites, caches, Stacks(STACK_TABLE, symbols), symbols, np.zeros(3, np.int64), 4096)
    assert (found.names, found.of_site.tolist()) == ([""], [0, 0, 0])
