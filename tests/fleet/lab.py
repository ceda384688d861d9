# SPDX-License-Identifier: Apache-2.0
"""A fleet of three kernels of the lab, booted in QEMU: on one of them the lab's module leaks, slowly.

On the two others the same module frees what it allocates.  Three hosts are too few for counts, so nothing
may be said to be common; the leak must be the first issue, of the host that has it, clear on the others.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slabtrace.fleet.judging.report import report
from tests.fleet.engines import Seen, read
from tests.kernels import build, built, guest
from tests.kernels.experiment import folder as place_of

LEAKING, FLAT = "6.12", ("6.1", "7.3")
TIMES, EVERY_S = 97, 0.5
LEAKS, FREES = "leak_kmalloc", "free_kmalloc"  # functions of the module
_HOST = """\
/bin/busybox hostname {name}
exec {python} -m slabtrace record --no-inspect -o {share}/{name}.slab -- sh -e {share}/work.sh
"""
_WORK = """\
/bin/busybox insmod {module}
for i in $(seq {times}); do
	echo "{order} 1" >/proc/slabtrace_faults
	/bin/true
	/bin/busybox usleep {pause_us}
done
"""


def three_kernels(folder: Path) -> Seen:
    """Two guests at a time; then the fleet of their traces."""
    with ThreadPoolExecutor(2) as pool:
        failures = [each for each in pool.map(_record, [LEAKING, *FLAT], [folder] * 3) if each]
    if failures:
        return False, "; ".join(failures)
    found = report(read(folder / "traces", folder / "store", None).merged)
    return _right(found["findings"]), _words(found)


def _record(label: str, folder: Path) -> str:
    """Boot a kernel and record; why that failed, "" if it did not."""
    kernel, name, place = built.obtain(label), f"lab-{label}", place_of(label, "fleet")
    files = {
        "host.sh": _HOST.format(name=name, python=sys.executable, share=guest.SHARED),
        "work.sh": _WORK.format(
            module=build.module(kernel),
            times=TIMES,
            order=LEAKS if label == LEAKING else FREES,
            pause_us=int(EVERY_S * 1e6),
        ),
    }
    outcome = guest.run(kernel, ["sh", f"{guest.SHARED}/host.sh"], place, 600, files)
    if outcome.failure or outcome.status:
        return f"{label}: {outcome.failure or outcome.output}"
    shutil.copytree(place / f"{name}.slab", folder / "traces" / f"{name}.slab")
    return ""


def _right(findings: list[dict[str, Any]]) -> bool:
    first, *others = findings or [{}]
    hosts = [each["host"] for each in first.get("worst", [])]
    common = [each for finding in findings for each in finding["associations"]]
    here = LEAKS in " ".join(first.get("stack", [])) + first.get("title", "")
    whole = (first.get("affected"), first.get("clear")) == (1, len(FLAT))
    return (
        here
        and whole
        and hosts == [f"lab-{LEAKING}"]
        and not common
        and not any(each["affected"] for each in others)
    )


def _words(found: dict[str, Any]) -> str:
    said = [
        f"#{each['rank']} {each['title']}: {each['affected']} affected, {each['clear']} clear, "
        f"{each['unknown']} unknown, {each['growth_per_day']:,} bytes a day on "
        f"{', '.join(host['host'] for host in each['worst'])}"
        for each in found["findings"][:3]
    ]
    return f"{found['hosts']} hosts; " + "; ".join(said)
