# SPDX-License-Identifier: Apache-2.0
"""Units, containers and pods, from paths as the programs that make them write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.processes.cgroup_names import CgroupName, cgroup_name

ID = "4b" * 32
POD = "1f2e3d4c-aaaa-bbbb-cccc-0123456789ab"
POD_ = POD.replace("-", "_")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", CgroupName()),
        ("", CgroupName()),
        ("/system.slice", CgroupName("system.slice")),
        ("/system.slice/cron.service", CgroupName("cron.service")),
        ("/system.slice/system-getty.slice/getty@tty1.service", CgroupName("getty@tty1.service")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope", CgroupName("a.scope")),
        (r"/system.slice/dev-disk\x2dby.swap", CgroupName("dev-disk-by.swap")),
        (f"/system.slice/docker-{ID}.scope", CgroupName(f"docker-{ID}.scope", ID)),
        (f"/docker/{ID}", CgroupName("", ID)),
        (f"/docker/{ID}/init.scope", CgroupName("init.scope", ID)),
        (f"/machine.slice/libpod-{ID}.scope/container", CgroupName(f"libpod-{ID}.scope", ID)),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_}.slice/cri-containerd-{ID}.scope",
            CgroupName(f"cri-containerd-{ID}.scope", ID, POD),
        ),
        (
            f"/kubepods.slice/kubepods-pod{POD_}.slice/crio-{ID}.scope",
            CgroupName(f"crio-{ID}.scope", ID, POD),
        ),
        (f"/kubepods/besteffort/pod{POD}/{ID}", CgroupName("", ID, POD)),
        ("/lxc.payload.web", CgroupName("", "web")),
        ("/machine.slice/machine-deb.scope/payload", CgroupName("machine-deb.scope", "deb")),
        (f"/system.slice/containerd.service/x/{ID[:63]}", CgroupName("containerd.service")),
    ],
)
def test_names(path: str, name: CgroupName) -> None:
    assert cgroup_name(path) == name


@given(st.text(max_size=80))
def test_any_path_has_an_answer(path: str) -> None:
    assert all(isinstance(each, str) for each in cgroup_name(path))
