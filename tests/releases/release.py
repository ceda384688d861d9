# SPDX-License-Identifier: Apache-2.0
"""A release of Debian in a folder: made by debootstrap, cached, and never changed by a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kernels import build
from tests.kernels.packages import LabError, cache_folder, mirror
from tests.kernels.workload import LEFT

# What a user needs to have: bcc, and venv to make a virtual environment.
PACKAGES = "python3-bpfcc,python3-venv"
RELEASES = ("bookworm", "trixie", "sid")  # Debian 12, Debian 13, unstable
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def obtain(name: str) -> Path:
    """The folder of a release; it is made again if it is not complete."""
    folder = cache_folder() / "releases" / name
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        options = ["--variant=minbase", f"--include={PACKAGES}"]
        run(["debootstrap", *options, name, str(folder / "root"), mirror()])
        (folder / "whole").touch()
    return folder / "root"


def versions(root: Path) -> tuple[str, str]:
    """The versions of Python and bcc in the release."""
    program = 'import sys, bcc; print(f"{sys.version_info[0]}.{sys.version_info[1]}", bcc.__version__)'
    python, bcc = run(["chroot", str(root), "python3", "-c", program]).split()
    return python, bcc


def bring(shared: Path, python: str) -> None:
    """Make `shared` again, with everything that inside.sh needs, as it has no network access."""
    shutil.rmtree(shared, ignore_errors=True)
    (shared / "wheels").mkdir(parents=True)
    wheels = str(shared / "wheels")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels], ROOT)
    (ours,) = (shared / "wheels").glob("slabtrace-*.whl")
    only = ["--python-version", python, "--only-binary=:all:"]
    run([sys.executable, "-m", "pip", "download", "--quiet", "-d", wheels, *only, str(ours)])
    for file in (build.leaver(), HERE / "inside.sh", ROOT / "tools" / "make-deb"):
        shutil.copy(file, shared)


def enter(root: Path, shared: Path) -> None:
    """Run inside.sh in the release.  Raises LabError if it fails."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-release-") as place:
        argv = ["unshare", "--mount", "sh", str(HERE / "enter.sh"), str(root), place, str(shared)]
        left = " ".join(map(str, LEFT))
        run([*argv, "env", f"LEFT={left}", "sh", "/run/lab/inside.sh"])


def run(argv: list[str], cwd: Path | None = None) -> str:
    """The stdout of a command.  Raises LabError with its last line if it fails or is missing."""
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is missing: apt install {argv[0]}") from error
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise LabError(f"{argv[0]} failed: {' '.join(complaint)}")
    return done.stdout
