# SPDX-License-Identifier: Apache-2.0
"""Texts of /proc as counters: lines as kernels print them."""

from __future__ import annotations

from slabtrace.capture.memory import texts

MEMINFO = """MemTotal:       24683652 kB
MemFree:        21296904 kB
Active(anon):       1572 kB
HugePages_Total:       3
DirectMap4k:       26624 kB
Nonsense
Negative:          -5 kB
"""
VMALLOCINFO = """0x00000000b2881536-0x000000005238decc   20480 irq_init_percpu_irqstack+0xed/0x120 vmap
0x00000000192c4d93-0x000000002357b68d    8192 acpi_os_map_iomem+0x1bc/0x1e0 phys=0x0000000000a00000 ioremap
0x000000002357b68d-0x00000000362571dd   20480 kernel_clone+0xb8/0x400 pages=4 vmalloc N0=4
0x000000002357b68d-0x00000000362571dd   20480 kernel_clone+0xb8/0x400 pages=4 vmalloc N0=4
0x00000000362571dd-0x00000000711c857b   12288 nft_set+0x1a/0x40 [nf_tables] pages=2 vmalloc vpages N0=2
0x00000000711c857b-0x00000000b2881536   12288 pages=3 vmalloc
0x00000000711c857b-0x00000000b2881536   12288 vm_map_ram
"""
BUDDYINFO = """Node 0, zone      DMA      1      0      2
Node 0, zone   Normal     10      1      0
"""
ZONEINFO = """Node 0, zone   Normal
  pages free     22505
  pagesets
    cpu: 0
              count:    63
              high:     768
    cpu: 1
              count:    10
"""
SOCKSTAT = """sockets: used 13
TCP: inuse 1 orphan 0 tw 2 alloc 1 mem 87
UDP: inuse 0 mem 5
FRAG: inuse 0 memory 4096
"""
SLABINFO = """slabinfo - version: 2.1
# name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>
dentry  100 105 192 21 1 : tunables 0 0 0 : slabdata 5 5 0
kmalloc-8k  3 4 8192 4 8 : tunables 0 0 0 : slabdata 1 1 0
"""


def test_meminfo_is_in_bytes_and_counts_stay_counts() -> None:
    found = texts.meminfo(MEMINFO)
    assert found == {
        "meminfo.MemTotal": 24683652 * 1024,
        "meminfo.MemFree": 21296904 * 1024,
        "meminfo.Active(anon)": 1572 * 1024,
        "meminfo.HugePages_Total": 3,
        "meminfo.DirectMap4k": 26624 * 1024,
    }


def test_vmallocinfo_counts_pages_by_caller_and_no_io_memory() -> None:
    assert texts.vmallocinfo(VMALLOCINFO, 4096) == {
        "vmalloc.kernel_clone+0xb8": 8 * 4096,
        "vmalloc.(unknown)": 3 * 4096,
        "vmalloc.nft_set+0x1a [nf_tables]": 2 * 4096,
    }


def test_of_too_many_callers_the_small_ones_are_summed() -> None:
    lines = [f"0x1-0x2 8192 caller_{i}+0x1/0x2 pages={i + 1} vmalloc" for i in range(130)]
    found = texts.vmallocinfo("\n".join(lines), 1)
    assert len(found) == texts.MOST_CALLERS + 1
    assert found[texts.VMALLOC_OTHERS] == 1 + 2
    assert sum(found.values()) == sum(range(131))


def test_buddyinfo_by_order_and_zone() -> None:
    assert texts.buddyinfo(BUDDYINFO, 4096) == {
        "buddy.order.0": 11 * 4096,
        "buddy.order.1": 2 * 4096,
        "buddy.order.2": 8 * 4096,
        "buddy.zone.0.DMA": 9 * 4096,
        "buddy.zone.0.Normal": 12 * 4096,
    }


def test_zoneinfo_sums_the_lists_of_cpus() -> None:
    assert texts.zoneinfo(ZONEINFO, 4096) == {"zoneinfo.pcp": 73 * 4096}


def test_sockstat_has_pages_and_bytes() -> None:
    found = texts.sockstat(SOCKSTAT, 4096)
    assert (found["sockstat.TCP.mem"], found["sockstat.UDP.mem"]) == (87 * 4096, 5 * 4096)
    assert (found["sockstat.FRAG.memory"], found["sockstat.sockets.used"]) == (4096, 13)


def test_vmstat_takes_what_is_named() -> None:
    text = "nr_free_pages 7\nnr_dirty 9\npgalloc_dma 2\npgalloc_normal 3\npgfree 4\n"
    assert texts.vmstat(text, 4096) == {
        "vmstat.nr_free_pages": 7 * 4096,
        "vmstat.pgfree": 4,
        "vmstat.pgalloc": 5,
    }


def test_slabs_are_the_pages_of_caches() -> None:
    assert texts.slabs(SLABINFO, 4096) == {"slab.dentry": 5 * 4096, "slab.kmalloc-8k": 8 * 4096}


def test_cgroups_of_both_versions() -> None:
    assert texts.proc_cgroups("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t52\t1\n") == {
        "cgroups.memory": 52
    }
    stat = "nr_descendants 4\nnr_subsys_memory 9\nnr_dying_descendants 3\nnr_dying_subsys_memory 2\n"
    assert texts.cgroup_stat(stat) == {
        "cgroup2.nr_descendants": 4,
        "cgroup2.nr_dying_descendants": 3,
        "cgroup2.nr_dying_subsys_memory": 2,
    }


def test_hostile_texts_give_nothing() -> None:
    hostile = "\x1b[2J" * 100 + "\n" + "9" * 400 + "\nMemTotal: " + "9" * 400 + " kB\n"
    parsers = (texts.meminfo, lambda text: texts.vmallocinfo(text, 4096), texts.proc_cgroups)
    assert [parse(hostile) for parse in parsers] == [{}, {}, {}]
