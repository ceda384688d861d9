# SPDX-License-Identifier: Apache-2.0
"""manifest.json for strangers: what the analysis needs stays; what identifies machine or user is removed.

redact.py does the same for the tables.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeGuard

from slabtrace.errors import TraceError
from slabtrace.trace.format.foreign import Foreign
from slabtrace.trace.format.schema import MANIFEST
from slabtrace.trace.manifest import COMPLETE, FAILED, RECORDING, Command, Host, Manifest, Processes
from slabtrace.trace.redaction.made_up import CacheNames, Names, Pids

KEPT_OPTIONS = {
    "stacks", "min_size", "max_size", "buffer_mib", "buffer_bytes", "map_bytes", "twins", "duration", "mode",
    "grace", "settle", "sample", "follow", "threshold_s", "live_objects", "live_table_bytes", "budget",
    "inspect_s", "inspect_cpu",
}  # fmt: skip


REPLACED = "redacted"


def redacted_manifest(manifest: Manifest, pids: Pids, comms: Names, caches: CacheNames) -> Manifest:
    """`manifest` without what identifies the machine, its user, or the time of day."""
    command, recorder = manifest.command, manifest.recorder
    known = manifest.status in (COMPLETE, RECORDING)
    return replace(
        manifest,
        redacted=True,
        status=manifest.status if known else f"{FAILED}the reason is left out",
        started_at="",
        realtime_minus_monotonic_ns=0,
        host=_redacted_host(manifest.host, caches),
        options={name: _option(name, each, pids, comms, caches) for name, each in manifest.options.items()},
        foreign=manifest.foreign and _redacted_foreign(manifest.foreign),
        labels={name: f"label-{i}" for i, name in enumerate(manifest.labels, 1)},
        inspection=manifest.inspection and replace(manifest.inspection, problem=""),
        processes=manifest.processes and _redacted_processes(manifest.processes, pids),
        command=command and _redacted_command(command, pids),
        recorder=replace(
            recorder,
            pid=int(pids.of([recorder.pid])[0]),
            helpers=[replace(each, pid=int(pids.of([each.pid])[0])) for each in recorder.helpers],
        ),
    )


def _redacted_foreign(foreign: Foreign) -> Foreign:
    """Its numbers; what is text of the files may name anything."""
    return replace(
        foreign,
        files=[f"file-{i}" for i in range(1, len(foreign.files) + 1)],
        examples=[REPLACED] * len(foreign.examples),
        filters=[REPLACED] * len(foreign.filters),
        suspected=[REPLACED] * len(foreign.suspected),
        notes=[REPLACED] * len(foreign.notes),
    )


def _redacted_processes(processes: Processes, pids: Pids) -> Processes:
    each = (processes.running, processes.ended, processes.parents)
    return Processes(*([int(pid) for pid in pids.of(some)] for some in each))


def _redacted_host(host: Host, caches: CacheNames) -> Host:
    """What the analysis needs; the size of the memory is rounded up to a power of two."""
    return replace(
        host,
        hostname="",
        version="",
        build_id="",
        boot_id="",
        os=replace(host.os, pretty_name=""),
        command_line=REPLACED if host.command_line else "",
        stext=0,
        memory_bytes=1 << (host.memory_bytes - 1).bit_length() if host.memory_bytes > 0 else 0,
        red_left_pad={caches.of(name): each for name, each in host.red_left_pad.items()},
    )


def _redacted_command(command: Command, pids: Pids) -> Command:
    """The number of its arguments, and its exit status."""
    argv = ["command", *(f"argument-{i}" for i in range(1, len(command.argv)))][: len(command.argv)]
    return Command(argv, int(pids.of([command.pid])[0]), command.exit_status, command.ended_ns)


def _option(name: str, value: Any, pids: Pids, comms: Names, caches: CacheNames) -> Any:
    """An option that is set stays set, because it shows that events were filtered."""
    if name in KEPT_OPTIONS or value is None or isinstance(value, bool):
        return value
    if name == "cache" and isinstance(value, list):
        return [caches.of(str(each)) for each in value]
    if name == "pid" and _is_pid(value):
        return int(pids.of([value])[0])
    if name == "comm":
        return comms.of(str(value))
    return REPLACED if value else value


def _is_pid(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < 1 << 32


def pids_of(manifest: Manifest) -> list[int]:
    """All process numbers in the manifest.  Raises TraceError for one that no process can have."""
    found = [manifest.recorder.pid, manifest.command.pid if manifest.command else 0]
    found += [each.pid for each in manifest.recorder.helpers]
    if manifest.processes is not None:
        found += [pid for some in vars(manifest.processes).values() for pid in some]
    if not all(map(_is_pid, found)):
        raise TraceError(f"{MANIFEST} has a number that is not a pid: {found}", "The trace is damaged.")
    option = manifest.options.get("pid")
    return [*found, option] if _is_pid(option) else found
