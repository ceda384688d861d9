# SPDX-License-Identifier: Apache-2.0
"""manifest.json: a saved manifest is read back; a damaged one is refused with the reason."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from slabtrace.errors import TraceError
from slabtrace.trace import manifest as manifests
from slabtrace.trace.files.place import Place
from slabtrace.trace.format import schema
from slabtrace.trace.manifest import Command, Coverage, Host, Manifest, Unattached


def written(folder: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / schema.MANIFEST).write_text(text, encoding="utf-8")
    return folder


def whole(**changes: Any) -> dict[str, Any]:
    return {**Manifest().to_dict(), **changes}


def test_a_saved_manifest_is_read_back(tmp_path: Path) -> None:
    saved = Manifest(
        status="failed: disk full",
        started_ns=5,
        ended_ns=7,
        host=Host(hostname="böx\x1b", stext=0xFFFFFFFF81000000, btf=True),
        options={"stacks": "all", "cache": ["kmalloc-*"], "pid": None},
        command=Command(["./a b"], 12, None),
        coverage=Coverage(["on_kfree"], [], [Unattached("kfree_rcu", "no fentry")]),
    )
    saved.save(Place(tmp_path))
    assert manifests.load(tmp_path) == saved


def test_a_saved_manifest_is_private_and_leaves_no_other_file(tmp_path: Path) -> None:
    Manifest().save(Place(tmp_path))
    Manifest(status="complete").save(Place(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert stat.S_IMODE((tmp_path / "manifest.json").stat().st_mode) == 0o600
    assert manifests.load(tmp_path).status == "complete"


def test_a_newer_minor_version_may_have_more_keys(tmp_path: Path) -> None:
    newer = whole(version=[schema.MAJOR, schema.MINOR + 1], invented={"x": 1})
    assert manifests.load(written(tmp_path, newer)).version == [schema.MAJOR, schema.MINOR + 1]


def test_missing_keys_have_their_default(tmp_path: Path) -> None:
    bare = {"format": "slabtrace", "version": [schema.MAJOR, 0], "host": {"cpus": 4}}
    loaded = manifests.load(written(tmp_path, bare))
    assert (loaded.status, loaded.host.cpus, loaded.command) == ("recording", 4, None)


def test_an_address_may_have_64_bits(tmp_path: Path) -> None:
    document = whole(host={"stext": 0xFFFFFFFF81000000})
    assert manifests.load(written(tmp_path, document)).host.stext == 0xFFFFFFFF81000000


def test_a_newer_major_version_is_refused_and_named(tmp_path: Path) -> None:
    newer = {"format": "slabtrace", "version": [schema.MAJOR + 1, 0], "host": "another meaning"}
    with pytest.raises(TraceError, match=f"format version {schema.MAJOR + 1}") as caught:
        manifests.load(written(tmp_path, newer))
    assert "newer slabtrace" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ('{"format": "slabtrace"', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("\x00\xff", "not valid JSON"),
        ([], "not the manifest"),
        ({"format": "perf"}, "not the manifest"),
        ({"format": "slabtrace"}, "no format version"),
        ({"format": "slabtrace", "version": []}, "no format version"),
        ({"format": "slabtrace", "version": ["1"]}, "no format version"),
        ({"format": "slabtrace", "version": [True]}, "no format version"),
        (whole(started_ns="soon"), "started_ns is str, not int"),
        (whole(started_ns=True), "started_ns is bool, not int"),
        (whole(host=[]), "host. is not an object"),
        (whole(coverage={"attached": "all"}), "coverage.attached is str, not list"),
        (whole(coverage={"attached": [1]}), r"coverage.attached\[0\] is int, not str"),
        (whole(coverage={"unattached": ["kfree"]}), r"coverage.unattached\[0\]. is not an object"),
        (whole(command={"argv": [], "pid": 1, "exit_status": "0"}), "command.exit_status is str, not int"),
        (whole(totals=None), "totals. is not an object"),
        (whole(ended_ns=2**63), "ended_ns is out of range"),
        (whole(host={"page_size": -(2**62)}), "host.page_size is out of range"),
        (whole(host={"page_size": 0}), "host.page_size is out of range"),
        (whole(host={"red_left_pad": {"kmalloc-64": "x"}}), "host.red_left_pad.kmalloc-64 is str, not int"),
        (whole(options={"sample": 2**64}), "options.sample is out of range"),
    ],
)
def test_a_damaged_manifest_is_refused_with_the_reason(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        manifests.load(written(tmp_path, content))


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"has no manifest\.json"):
        manifests.load(tmp_path)


def test_an_unreadable_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / schema.MANIFEST).mkdir()
    with pytest.raises(TraceError, match="cannot be read"):
        manifests.load(tmp_path)


def test_a_manifest_of_endless_length_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / schema.MANIFEST).open("wb") as file:
        file.truncate(manifests.MOST_BYTES + 1)  # a sparse file: no block on disk
    with pytest.raises(TraceError, match="too long for a manifest"):
        manifests.load(tmp_path)
