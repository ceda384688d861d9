# SPDX-License-Identifier: Apache-2.0
"""The class of a finding, from what the tests say and what is true apart from them."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.leaks.by_design import INNER, KNOWN, Fate, by_design, freed_inside
from slabtrace.analysis.leaks.evidence import Tested as Results
from slabtrace.analysis.leaks.findings import CLASSES, Circumstances, judge
from slabtrace.analysis.statistics.rates import Rate

# 60 objects came all along, and none went: as sure as it gets.
LEAK = Results(p=1e-12, p_growth=1e-12, least_p=1e-12, horizon=0.1, kept=60, older=0.0, died=0, filled=15.0)
LEAK = LEAK._replace(rate=Rate(60.0, 50.0, 70.0))
ABOUT = ("reclaimable", "expected", "doubted", "too_short")


def classes(*results: Results, **about: bool) -> list[str]:
    flags = {name: np.full(len(results), about.get(name, False)) for name in ABOUT}
    return judge(list(results), Circumstances(**flags)).classes


@pytest.mark.parametrize(
    ("changed", "about", "expected"),
    [
        ({}, {}, "suspect"),
        ({}, {"doubted": True}, "growing"),
        ({}, {"expected": True}, "retained"),
        ({}, {"doubted": True, "too_short": True}, "young"),
        ({}, {"reclaimable": True}, "reclaimable"),
        ({}, {"reclaimable": True, "expected": True}, "reclaimable"),
        ({"p": 0.02}, {}, "growing"),  # not sure that nobody frees them
        ({"p": 0.02, "p_growth": 0.04}, {}, "growing"),
        ({"p": 0.2, "p_growth": 0.06}, {}, "young"),
        ({"p": 1.0, "older": 42.0}, {}, "replacing"),
        ({"p": 1.0, "older": 41.0}, {}, "growing"),
        ({"p": 1.0, "ended": True}, {}, "retained"),
        ({"p": 1.0, "filled": 3.0}, {}, "retained"),  # in bursts
        ({"p": 1.0, "p_growth": 1.0, "kept": 7, "least_p": 0.01}, {}, "young"),
        ({"kept": 0, "p": 1.0, "p_growth": 1.0, "least_p": 1.0}, {}, "young"),
        ({"kept": 0, "p": 1.0, "p_growth": 1.0}, {"expected": True}, "young"),
        ({"older": 40.0}, {}, "suspect"),  # a leak beside a ring
        ({"rate": Rate(5.0, -1.0, 11.0)}, {}, "young"),  # the interval does not agree
    ],
)
def test_classes(changed: dict[str, float], about: dict[str, bool], expected: str) -> None:
    assert classes(LEAK._replace(**changed), **about) == [expected]


def test_one_leak_stands_out_among_few_others_but_not_among_many() -> None:
    """p = 1e-4: below 1 % by 50 tests, above 1 % by 200."""
    leak, other = LEAK._replace(p=1e-4), LEAK._replace(p=1.0, p_growth=1.0)
    assert classes(leak, *[other] * 49)[0] == "suspect"
    assert classes(leak, *[other] * 199)[0] == "growing"


def test_findings_that_no_test_could_make_suspects_do_not_count_as_tests() -> None:
    leak = LEAK._replace(p=1e-4)
    small = LEAK._replace(p=1.0, p_growth=1.0, kept=7)
    few = LEAK._replace(p=1.0, p_growth=1.0, kept=9, least_p=0.006)
    assert classes(leak, *[small] * 300, *[few] * 300)[0] == "suspect"
    flags = {name: np.arange(301) > 0 if name == "expected" else np.zeros(301, bool) for name in ABOUT}
    others = [LEAK._replace(p=1.0, p_growth=1.0)] * 300
    assert judge([leak, *others], Circumstances(**flags)).classes[0] == "suspect"


def test_the_number_of_tests_is_told_and_at_least_one() -> None:
    none = Circumstances(*[np.zeros(0, np.bool_)] * len(ABOUT))
    assert judge([], none).tests == 1
    five = Circumstances(*[np.zeros(5, np.bool_)] * len(ABOUT))
    assert judge([LEAK] * 5, five).tests == 5


def test_gravest_first() -> None:
    assert CLASSES == ("suspect", "growing", "replacing", "retained", "young", "reclaimable")


@pytest.mark.parametrize(
    ("cache", "symbol", "stack", "fate"),
    [
        ("kmalloc-64", "alloc_slab_obj_exts+0x10", [], Fate.KEPT),
        ("kmalloc-64", "memcg_alloc_slab_cgroups+0x10", [], Fate.KEPT),
        ("kmalloc-256", "__alloc_empty_sheaf+0x1", [], Fate.KEPT),
        ("vmap_area", "alloc_vmap_area+0x1", [], Fate.SHRUNK),
        ("vmap_area", "fanotify_alloc_event+0x1", ["fanotify_handle_event+0x9"], None),  # merged caches
        (
            "radix_tree_node",
            "xas_alloc+0x1",
            ["__add_to_page_cache_locked+0x9", "add_to_page_cache_lru+0x2"],
            Fate.SHRUNK,
        ),
        (
            "radix_tree_node",
            "xas_alloc+0x1",
            ["__filemap_add_folio+0x9", "hugetlb_add_to_page_cache+0x2"],
            None,
        ),
        ("kmalloc-128", "tcp_get_metrics+0x1", ["tcp_init_metrics+0x9"], Fate.KEPT),
        ("kmalloc-96", "ima_alloc_init_template+0x1", ["ima_store_measurement+0x9"], Fate.KEPT),
        ("filp", "alloc_empty_file+0x1", ["pidfd_prepare+0x9", "copy_process+0x2"], None),
        ("net_namespace", "copy_net_ns+0x1", ["create_new_namespaces+0x9", "copy_process+0x2"], None),
        ("buffer_head", "alloc_buffer_head+0x1", [], Fate.SHRUNK),
        ("kmalloc-64", "ext4_cache_fast_symlink+0x1e", ["ext4_symlink+0x2e2"], Fate.SHRUNK),
        ("radix_tree_node", "xas_alloc+0x1", ["xas_create+0x1", "__filemap_add_folio+0x2"], Fate.SHRUNK),
        ("radix_tree_node", "xas_alloc+0x1", ["shmem_add_to_page_cache+0x2"], None),
        ("ext4_extent_status", "__es_insert_extent+0x1", [], Fate.SHRUNK),
        ("nf_conntrack", "__nf_conntrack_alloc+0x1", [], Fate.TIMED),
        ("vm_area_struct", "vm_area_dup+0x1", [], Fate.PROCESS),
        ("maple_node", "mas_alloc_nodes+0x1", [], Fate.PROCESS),
        ("maple_node", "mas_alloc_nodes+0x1", ["mas_preallocate+0x9", "__mmap_region+0x2"], Fate.PROCESS),
        ("maple_node", "mas_alloc_nodes+0x1", ["mas_alloc_cyclic+0x9", "mtree_alloc_cyclic+0x2"], None),
        ("pid", "alloc_pid+0x1", [], Fate.PROCESS),
        ("kmalloc-64", "load_msg+0x41", ["do_msgsnd+0x8c"], None),
        ("kmalloc-64", "my_vm_area_alloc+0x1", [], None),
        ("vmap_area_of_mine", "f", [], None),
        ("kmalloc-64", "", [], None),
    ],
)
def test_known_designs(cache: str, symbol: str, stack: list[str], fate: Fate | None) -> None:
    design = by_design(cache, symbol, stack)
    assert (None if design is None else design.fate) == fate
    assert design is None or design.reason


def test_what_is_freed_after_a_time_says_when() -> None:
    assert all((each.lives_s > 0) == (each.fate == Fate.TIMED) for each in KNOWN)


def test_deep_frames_do_not_say_what_an_object_is_for() -> None:
    inner = ["f+0x1"] * (INNER - 1)
    assert by_design("kmalloc-64", "f+0x1", [*inner, "copy_process+0x1"]) is not None
    assert by_design("kmalloc-64", "f+0x1", [*inner, "f+0x1", "copy_process+0x1"]) is None


@pytest.mark.parametrize(
    ("symbol", "inside"),
    [
        ("__free_slab+0x87", True),
        ("free_slab+0x1a", True),
        ("free_slab_obj_exts+0x3c", True),
        ("rcu_free_sheaf_nobarn+0x12", True),
        ("free_slabinfo+0x10", False),
        ("kfree_skbmem+0x2a", False),
        ("rcu_do_batch+0x1b7", False),
        ("", False),
    ],
)
def test_frees_of_the_slab_allocator_itself(symbol: str, inside: bool) -> None:
    assert freed_inside(symbol) == inside


def test_older_frees_without_some_sites() -> None:
    older = OlderFrees(0)
    older.take(np.array([3, 5, 3, 7]), np.array([4, 3, 2, 1]), np.array([1, 2, 3, 4], np.uint32))
    rest = older.close().without(np.array([3]))
    assert [each.tolist() for each in (rest.site, rest.ts_ns, rest.tid)] == [[5, 7], [3, 1], [2, 4]]
    assert older.of_site(3).tolist() == [2, 4]
