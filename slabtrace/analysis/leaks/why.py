# SPDX-License-Identifier: Apache-2.0
"""Why a finding has its class, and what to do next: sentences with the figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from slabtrace.analysis.holders.classes import LOST, PROCESS
from slabtrace.analysis.leaks.by_design import Fate
from slabtrace.analysis.names.objects import first_kind, is_general, many
from slabtrace.units import count, duration, growth_range, plural, unknown

KMEMLEAK = "a kernel with kmemleak lists those that nothing refers to"  # CONFIG_DEBUG_KMEMLEAK
OF_PROCESS = "nothing while the process runs: these are freed when it ends"
_REPLACED = "nothing, if so many are expected: as many older ones went as these that stay"
GROWS = ("suspect", "growing")
DOUBTED = ("growing", "young", "replacing")  # classes that a doubt matters for


def why(row: dict[Any, Any]) -> str:
    """`row`: a row of the table of findings, with `known`, what the objects are by design, `fate`: what
    becomes of these (None: not known), `remedy`: what would remove its doubt, `of_task`: whether it is of
    one task of several (by_task.py), and `bursts` and `ended`: how they came (Tested).

    As "one more every 1 s, 3.8 KiB/min (2.8 KiB to 4.9 KiB); 0 of 60 objects older than 4.29 s were freed;
    freed objects of this stack lived 2 ms (median)".
    """
    return "; ".join(_clauses(row))


def what_next(row: dict[Any, Any]) -> str:
    """What to do about a finding, in one line; every finding has one.  `row`: as of `why`.

    As "find who holds the UNIX sockets: `ss -xap`", "record 3 min 00 s longer to decide".
    """
    if row.get("own"):
        return "nothing: this is slabtrace's own, and ends with it"
    if row.get("fate") == Fate.KEPT:
        return "nothing: these are kept by design"
    of_class = {"suspect": _of_suspect, "growing": _of_growing, "young": _of_young, "retained": _of_retained}
    if row["class"] in of_class:
        return of_class[row["class"]](row)
    return _of_reclaimable(row) if row["class"] == "reclaimable" else _REPLACED


def _of_suspect(row: dict[Any, Any]) -> str:
    """Who holds them; where no command shows that, which release is not called."""
    if row.get("held") == LOST:
        return _of_lost(row)
    if row.get("held") == PROCESS and row.get("held_by"):
        return _of_processes(row)
    kind, module = first_kind(row.get("object", "")), row.get("module", "")
    if module and (kind is None or is_general(kind)):
        return f"find the release that the module {module} does not call for these objects; {KMEMLEAK}"
    if kind is None or not kind.holders:
        return f"find who holds these objects, or which release is not called for them; {KMEMLEAK}"
    return f"find who holds the {many(kind.name)}: {kind.holders}"


def _of_lost(row: dict[Any, Any]) -> str:
    """Nobody holds them, so there is no holder to look for: the code forgot them."""
    module = row.get("module", "")
    where = f"the module {module}" if module else "the function that allocated these, or who called it"
    return f"look in {where} for a path that forgets the pointer without freeing, as an error path may"


def _of_processes(row: dict[Any, Any]) -> str:
    name = str(row["held_by"][0])
    process = re.search(r"\(pid (\d+)\)$", name)
    shows = f": `ls -l /proc/{process[1]}/fd`, and its fdinfo" if process else ""
    return f"find out why {name} keeps these{shows}"


def _of_growing(row: dict[Any, Any]) -> str:
    """What removes the doubt, else how much longer to record; meanwhile somebody can look who holds them."""
    if row["remedy"]:
        return str(row["remedy"])
    kind = first_kind(row.get("object", ""))
    holders = f"; who holds them: {kind.holders}" if kind is not None and kind.holders else ""
    return f"{_longer(row) or 'record longer to decide'}{holders}"


def _of_young(row: dict[Any, Any]) -> str:
    if row.get("fate") == Fate.PROCESS:
        return OF_PROCESS
    if longer := _longer(row):
        return longer
    if row["remedy"]:
        return str(row["remedy"])
    return "record twice as long: then these are old" if not row["old"] else _REPLACED


def _of_retained(row: dict[Any, Any]) -> str:
    """A leak that comes in bursts, or with one event, is found by making that happen again."""
    if row.get("fate") == Fate.PROCESS:
        return OF_PROCESS
    if row.get("held") == LOST:
        return _of_lost(row)
    if row["known"]:
        return "nothing: the kernel frees these after that time"
    kind = first_kind(row.get("object", ""))
    if kind is not None and kind.holders:
        return f"if these should be gone, see who holds them: {kind.holders}"
    return "if these should be gone, record while it happens again, and compare by `slabtrace diff`"


def _of_reclaimable(row: dict[Any, Any]) -> str:
    """--settle shrinks caches as drop_caches does with 2, so nothing of the page cache (settle.py)."""
    settle = "" if "page cache" in str(row["known"]) else "; `record --settle` leaves such out"
    return f"nothing: the kernel frees these when memory is short{settle}"


def _longer(row: dict[Any, Any]) -> str:
    return "" if unknown(row["longer_ns"]) else f"record {duration(row['longer_ns'])} longer to decide"


def _clauses(row: dict[Any, Any]) -> Iterator[str]:
    if row["known"]:
        yield str(row["known"])
    if row["class"] == "reclaimable" and not row["known"]:
        yield "nobody refers to them: the kernel frees them when memory is short"
    if row["class"] in GROWS:
        yield _growth(row)
    yield from _held(row)
    if row["old"]:
        yield from _old(row)
    else:
        yield "no object is old enough to judge"
    if row["class"] in DOUBTED and row["doubt"] not in ("", row["known"]):
        yield str(row["doubt"])
    if not unknown(row["sibling_ns"]):
        yield f"freed objects of this stack lived {duration(row['sibling_ns'])} (median)"


def _held(row: dict[Any, Any]) -> Iterator[str]:
    """What the inspection says, where it says who is to blame."""
    number = int(row.get("inspected") or 0)
    if row.get("held") == LOST:
        yield f"lost: nothing points at {count(int(row['lost']))} of {count(number)} that were inspected"
    elif row.get("held") == PROCESS:
        names = ", ".join(str(each) for each in row["held_by"])
        leaks = ": a leak of user space, freed when the process lets go or ends"
        yield f"held by {names or 'processes'}{leaks if row['class'] in GROWS else ''}"


def _growth(row: dict[Any, Any]) -> str:
    grew = growth_range(*(row[name] for name in ("growth_bytes_per_s", "growth_low", "growth_high")))
    since = row["rate_since_ns"]
    at_first = f"faster at first; from {duration(since)} on " if since else ""
    every = f"one more every {duration(1e9 / row['rate_per_s'])}, " if row["rate_per_s"] > 0 else ""
    return f"{at_first}{every}{grew}"


def _old(row: dict[Any, Any]) -> Iterator[str]:
    yield _freed(row)
    if row["class"] != "replacing":
        yield from _when(row)


def _freed(row: dict[Any, Any]) -> str:
    """How many of the objects that are old stay, and how many went."""
    aged = f"older than {duration(row['horizon_ns'])}"
    kept, died, gone = int(row["old"]), int(row["old_freed"]), round(row["older_freed"])
    if row["class"] == "replacing":
        return f"{count(kept)} stay that are {aged}, and {plural(gone, 'object')} from before went"
    before = f", and {count(gone)} from before the recording" if gone else ""
    verb = "was" if kept + died == 1 else "were"
    if row["of_task"] and died:
        return f"{count(kept)} stay that are {aged}; of all tasks, {count(died)} such were freed{before}"
    return f"{count(died)} of {plural(kept + died, 'object')} {aged} {verb} freed{before}"


def _when(row: dict[Any, Any]) -> Iterator[str]:
    """How they came."""
    if row["old"] < 2:
        return
    if row["class"] == "retained" and not row["known"]:
        if row["bursts"] or row["ended"]:
            yield "they came in a few bursts" if row["bursts"] else "they no longer come"
    elif row["class"] == "young":
        yield "too few to decide"
