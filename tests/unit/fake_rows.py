# SPDX-License-Identifier: Apache-2.0
"""Rows of a hand-made trace (fake_trace.py): what each table of it has."""

from __future__ import annotations

from typing import Any

from slabtrace.analysis.names.objects import shown

MSG_SITE = 0xFFFFFFFF8127BC41
PIPE_SITE = 0xFFFFFFFF81300A17
FREE_SITE = 0xFFFFFFFF81300B99
HOSTILE_HTML = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
HOSTILE = "evil\x1b]0;owned\x07"

GROUPS: list[dict[str, Any]] = [
    {
        "rank": 1,
        "finding": 1,
        "rate_per_s": 20.5,
        "rate_low": 18.45,
        "rate_high": 20.84,
        "older_freed": 0.0,
        "dispersion": 1.0,
        "p": 1e-9,
        "cache": "kmalloc-cg-192",
        "call_site": PIPE_SITE,
        "symbol": "alloc_pipe_info+0x57",
        "stack": ["alloc_pipe_info+0x57", "create_pipe_files+0x3a", "do_pipe2+0x4c"],
        "allocated": 101,
        "freed": 60,
        "outstanding": 41,
        "bytes_req": 41 * 168,
        "bytes_alloc": 41 * 192,
        "oldest_ns": 1_000_000_000,
        "newest_ns": 1_100_000_000,
        "growth_bytes_per_s": 3936.0,
        "class": "suspect",
        "why": "grew 230.6 KiB/min; 0 of 41 objects older than 1.07 s were ever freed",
        "growth_low": 3542.4,
        "growth_high": 4000.0,
        "old": 41,
        "old_freed": 0,
        "rate_since_ns": 0,
        "horizon_ns": 1 << 30,
        "sibling_ns": 2e6,
        "module": "",
        "reclaimable": False,
        "stack_of": 41,
        "stacked": 41,
        "stacks": 1,
        "object": "part of a pipe",
        "alias": "",
        "aliases": [],
        "whose": "",
        "confidence": "exact",
        "maybe_freed": 0,
        "in_use": 23,
        "context": "task",
        "freed_by": [
            {
                "how": "seen",
                "call_site": FREE_SITE,
                "symbol": "free_pipe_info+0x99",
                "module": "",
                "path": ["free_pipe_info", "pipe_release"],
                "context": "task",
                "stack": ["free_pipe_info+0x99", "pipe_release+0x10"],
                "stack_of": 60,
                "paths": [],
                "objects": 60,
                "share": 1.0,
                "certain": True,
                "last_ns": 1_900_000_000,
                "stopped": False,
            }
        ],
        "others_freed_by": [],
        "comms": ["pipes"],
        "pids": [4321],
        "own": False,
    },
    {
        "rank": 2,
        "finding": 2,
        "rate_per_s": float("nan"),
        "rate_low": float("nan"),
        "rate_high": float("nan"),
        "older_freed": 0.0,
        "dispersion": 1.0,
        "p": 1.0,
        "cache": "msg_msg-128",
        "call_site": MSG_SITE,
        "symbol": "load_msg+0x71",
        "stack": ["load_msg+0x71", "do_msgsnd+0x9c", "__x64_sys_msgsnd+0x1f [ipc]"],
        "allocated": 10_030,
        "freed": 10_007,
        "outstanding": 23,
        "bytes_req": 23 * 112,
        "bytes_alloc": 23 * 128,
        "oldest_ns": 500_000_000,
        "newest_ns": 1_200_000_000,
        "growth_bytes_per_s": float("nan"),
        "class": "young",
        "why": "nothing in it is old enough to judge",
        "growth_low": float("nan"),
        "growth_high": float("nan"),
        "old": 0,
        "old_freed": 0,
        "rate_since_ns": 0,
        "horizon_ns": 0,
        "sibling_ns": 2e6,
        "module": "",
        "reclaimable": False,
        "stack_of": 5,
        "stacked": 7,
        "stacks": 3,
        "object": "",
        "alias": "",
        "aliases": [],
        "whose": "",
        "confidence": "bounded",
        "maybe_freed": 5,
        "in_use": 0,
        "context": "",
        "freed_by": [],
        "others_freed_by": [],
        "comms": [HOSTILE],
        "pids": [1234],
        "own": False,
    },
]

NOT_OF_FINDINGS = {"finding", "rank", "reclaimable"}


def finding(group: dict[str, Any]) -> dict[str, Any]:
    """The finding that consists of this group alone."""
    return {name: value for name, value in group.items() if name not in NOT_OF_FINDINGS} | {
        "rank": group["finding"],
        "next": "find who holds these objects" if group["class"] == "suspect" else "",
        "caches": [group["cache"]],
        "parts": [shown(group["cache"], group["aliases"], group["object"], group["symbol"])],
        "groups": [group["rank"]],
        "objects": group["outstanding"],
        "bytes_each": group["bytes_alloc"] / group["outstanding"],
        "longer_ns": float("nan"),
        "doubt": "",
        "held": "",
        "processes": 1,
        "alive": 1,
        "commands": [],
        "parents": [],
        "cgroups": [],
        "units": [],
        "containers": [],
        "charged": [],
    }


CACHES: list[dict[str, Any]] = [
    {
        "cache": name,
        "aliases": aliases,
        "object_size": size,
        "size": size,
        "allocs": allocs,
        "frees": frees,
        "inferred": 0,
        "old_frees": 0,
        "second_frees": 0,
        "outstanding": allocs - frees,
        "peak_outstanding": peak,
        "bytes_req": allocs * (size - 16),
        "bytes_alloc": allocs * size,
        "waste_bytes": allocs * 16,
        "slabinfo_start": start,
        "slabinfo_end": end,
        "unexplained": end - start - (allocs - frees),
        "slack": 64,
        "explained": (allocs - frees) / max(end - start, 1),
        "why": "per-CPU slabs",
    }
    for name, aliases, (size, allocs, frees, peak, start, end) in [
        ("msg_msg-128", [], (128, 10_030, 10_007, 24, 0, 32)),
        ("kmalloc-cg-192", [], (192, 101, 60, 101, 1000, 1041)),
        ("filp", ["seq_file", "eventpoll_pwq"], (256, 0, 0, 0, 800, 801)),
    ]
]
CACHES[1] |= {
    "slabinfo_start": None,
    "slabinfo_end": None,
    "unexplained": None,
    "explained": None,
}  # no slabinfo sample

STAT = [
    {
        "cache": group["cache"],
        "caches": 1,
        "call_site": group["call_site"],
        "symbol": group["symbol"],
        "inferred": 0,
        "hits": group["allocated"],
        "frees": group["freed"],
        "outstanding": group["outstanding"],
        "bytes_req": group["allocated"] * 100,
        "bytes_alloc": group["allocated"] * 125,
        "pingpong": pingpong,
        "frag": 0.2,
        "waste_bytes": group["allocated"] * 25,
        "crossnode": 0,
        "atomic": 1,
        "accounted": 0,
        "zeroed": 2,
    }
    for group, pingpong in zip(GROUPS, (3, 1), strict=True)
]

MISMATCH = {
    "kind": "double-free",
    "ptr": 0xFFFF888004205500,
    "cache": "kmalloc-cg-192",
    "confidence": "exact",
    "supported": True,
    "explained_by": "",
    "alloc": {"ts_ns": 1_000, "cpu": 0, "comm": "pipes", "pid": 4321, "stack": ["alloc_pipe_info+0x57"]},
    "first_free": {"ts_ns": 2_000, "cpu": 1, "comm": HOSTILE, "pid": 4321, "stack": ["free_pipe_info+0x9"]},
    "second_free": {"ts_ns": 3_000, "cpu": 1, "comm": HOSTILE, "pid": 4321, "symbol": "kfree_sensitive+0x1"},
}  # fmt: skip
