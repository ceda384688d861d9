# SPDX-License-Identifier: Apache-2.0
"""Damages a trace: one change to one file, chosen at random."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from slabtrace.trace.format import schema
from tests.fuzz.values import damage_table

NUMBERS = (0, 1, 0x7F, 0xFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**64, 1e308, "", "x" * 10_000, "\x1b[31m<script>", [], [[]], {},
    {"a": 1},
)  # fmt: skip


def flip(random: Random, content: bytearray) -> None:
    """Flip some bits."""
    for _ in range(random.choice((1, 1, 3, 20))):
        if content:
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def cut(random: Random, content: bytearray) -> None:
    """Remove the end."""
    del content[random.randrange(len(content) + 1) :]


def overwrite(random: Random, content: bytearray) -> None:
    """Overwrite a section with random bytes, zeros or ones."""
    at, length = random.randrange(len(content) + 1), random.choice((1, 8, 64, 1000))
    length = min(length, len(content) - at)
    content[at : at + length] = random.choice((random.randbytes(length), bytes(length), b"\xff" * length))


def number(random: Random, content: bytearray) -> None:
    """Overwrite 1 to 8 bytes with another number, as if a length, an offset or an id were wrong."""
    size = random.choice((1, 2, 4, 8))
    if len(content) >= size:
        at = random.randrange(len(content) - size + 1)
        value = random.choice(NUMBERS) & ((1 << 8 * size) - 1)
        content[at : at + size] = value.to_bytes(size, "little")


def move(random: Random, content: bytearray) -> None:
    """Copy a section to another place: inserted, or over what is there."""
    begin, length = random.randrange(len(content) + 1), random.choice((8, 64, 512))
    part = bytes(content[begin : begin + length])
    at = random.randrange(len(content) + 1)
    content[at : at + (len(part) if random.random() < 0.5 else 0)] = part


CHANGES: tuple[Callable[[Random, bytearray], None], ...] = (flip, flip, cut, overwrite, number, number, move)


COUNTED: dict[str, dict[str, list[int]]] = {
    "missed": {"site": [0, 1], "frees": [2, 3]},
    "since": {"begin_ns": [1]},
    "older": {"begin_ns": [1, 2], "end_ns": [3, 2], "site": [0, 1], "frees": [7, 1]},
    "lived": {"site": [0, 1], "octave": [20, 40], "objects": [2, 3]},
    "pairs": {"site": [0], "freed_at": [1], "octave": [40], "objects": [3], "lived_ns": [2**42]},
}  # of earlier parts


def as_part(folder: Path) -> None:
    """Make a trace of the newest format the second part of a series, so that carried/ is read as well."""
    manifest = json.loads((folder / schema.MANIFEST).read_bytes())
    manifest["part"] = {"number": 2, "series_started_ns": manifest["started_ns"] - 5}
    (folder / schema.MANIFEST).write_text(json.dumps(manifest))
    (folder / schema.CARRIED_DIR).mkdir()
    for name, fields in schema.CARRIED.items():
        if name in COUNTED:
            table = pa.table(COUNTED[name])
        else:
            source = f"{schema.EVENTS_DIR}/00000" if name in ("events", "uncompleted") else name
            table = pa.ipc.open_file(folder / f"{source}.arrow").read_all().slice(0, 29)
        with pa.ipc.new_file(folder / schema.CARRIED_DIR / f"{name}.arrow", fields) as writer:
            writer.write_table(table.cast(fields))


def damage_manifest(random: Random, content: bytearray) -> None:
    """Change the value of one key at any depth, or remove the key."""
    try:
        document = json.loads(bytes(content))
    except ValueError:  # already damaged
        document = None
    if not isinstance(document, dict) or not document:
        flip(random, content)
        return
    place: Any = document
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        deeper = place[key]
        if not isinstance(deeper, (dict, list)) or not deeper or random.random() < 0.3:
            break
        place = deeper
    if isinstance(place, dict) and random.random() < 0.2:
        del place[key]
    else:
        place[key] = random.choice(VALUES)
    content[:] = json.dumps(document).encode()


def damage_folder(random: Random, folder: Path) -> str:
    """Change, remove or replace one file of a trace's folder; returns what was done."""
    path = random.choice(sorted(each for each in folder.rglob("*") if each.is_file()))
    if (draw := random.random()) < 0.08:
        path.unlink()
        return f"{path.name} {'removed' if draw < 0.05 else _replaced(random, path)}"
    content = bytearray(path.read_bytes())
    change = random.choice(CHANGES)
    if path.name == "manifest.json" and random.random() < 0.7:
        change = damage_manifest
    elif path.suffix == ".arrow" and random.random() < 0.6:
        change = damage_table
    change(random, content)
    path.write_bytes(content)
    return f"{path.name} {change.__name__}"


def _replaced(random: Random, path: Path) -> str:
    """Put a link, a FIFO or a folder in the place of a file; returns what was done."""
    target = random.choice(("/dev/zero", "/etc/passwd", "manifest.json", path.name, "/", ""))
    if target:
        path.symlink_to(target)
        return f"a link to {target}"
    random.choice((os.mkfifo, os.mkdir))(path)
    return "a FIFO or a folder"


def damage_archive(random: Random, path: Path) -> str:
    """Change bytes of a packed trace, or pack it again as another tool might; returns what was done."""
    content = bytearray(path.read_bytes())
    if random.random() < 0.3:
        content = bytearray(_packed_differently(random, bytes(content)))
        path.write_bytes(content)
        return "packed differently"
    change = random.choice(CHANGES)
    change(random, content)
    path.write_bytes(content)
    return f"{path.name} {change.__name__}"


def _packed_differently(random: Random, content: bytes) -> bytes:
    written = BytesIO()
    how = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(BytesIO(content)) as source, zipfile.ZipFile(written, "w", how) as target:
        for name in source.namelist():
            if random.random() < 0.9:
                target.writestr(
                    random.choice((name, name, name, f"../{name}", "manifest.json")), source.read(name)
                )
    return written.getvalue()
