# SPDX-License-Identifier: Apache-2.0
"""deploy/: its configurations are valid, and it asks for exactly the capabilities that a recorder takes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import Any

import pytest

from slabtrace.capture.process.privileges import ATTACHING, Capability
from slabtrace.watching.settings import settings_of
from tests.live.pod import CAPABILITIES
from tests.needs import need_program
from tests.places import ROOT

UNIT = ROOT / "deploy/systemd/slabtrace-watch.service"
MOST_EXPOSED = 2.3  # of 10, as docs/watch.md states it
# A recorder of a service traces no command, and a bounding set need not be emptied by whom systemd gave it.
# CAP_SYS_PTRACE only adds the programs and namespaces of other users' processes.
NOT_NEEDED = {Capability.KILL, Capability.SETPCAP, Capability.SYS_PTRACE}
NEEDED = {each.name for each in ATTACHING - NOT_NEEDED}


def test_the_example_is_a_valid_configuration_with_all_that_is_commented_out() -> None:
    text = (ROOT / "deploy/systemd/slabtrace.toml").read_text()
    uncommented = re.sub(r"^# (?=\w+ = )", "", text, flags=re.M)
    for content in (text, uncommented):
        made = settings_of(tomllib.loads(content)["watch"], "f.toml")
        assert (made.keep, made.disk, len(made.when)) == (48, 2 << 30, 2)
    assert made.on_finding[0] == "/usr/local/bin/page-me" and made.listen == "9796"


def test_the_daemon_set() -> None:
    yaml: Any = pytest.importorskip("yaml")
    text = (ROOT / "deploy/kubernetes/slabtrace-watch.yaml").read_text()
    config, daemons = (each for each in yaml.safe_load_all(text) if each["kind"] != "Namespace")
    made = settings_of(tomllib.loads(config["data"]["slabtrace.toml"])["watch"], "f.toml")
    pod = daemons["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert pod["hostPID"] and not security["privileged"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": security["capabilities"]["add"]}
    assert set(security["capabilities"]["add"]) == NEEDED
    assert made.listen == f"0.0.0.0:{container['ports'][0]['containerPort']}"
    places = {each["mountPath"] for each in container["volumeMounts"]}
    assert str(made.folder) in places and "/etc/slabtrace" in places
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}


def test_the_capabilities() -> None:
    unit = UNIT.read_text()
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        (words,) = re.findall(rf"^{key}=(.*)$", unit, re.M)
        assert {word.removeprefix("CAP_") for word in words.split()} == NEEDED
    (given,) = re.findall(r"--cap-add=(\S+)", (ROOT / "deploy/container/Containerfile").read_text())
    assert {name.upper() for name in CAPABILITIES} == NEEDED  # what tests/live/test_pod.py tries
    assert set(given.upper().split(",")) == NEEDED


def test_the_exposure_of_the_unit() -> None:
    analyze = need_program("systemd-analyze")
    run = [analyze, "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(exposure) <= MOST_EXPOSED
    assert f"{exposure} of 10" in (ROOT / "docs/watch.md").read_text()
