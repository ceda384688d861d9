# SPDX-License-Identifier: Apache-2.0
"""The kernel lab: real Debian kernels in QEMU, and slabtrace inside them.

`python -m tests.kernels [6.12 …]` fetches (packages.py), builds a module of faults (build.py, module/),
boots (guest.py, initramfs.py), records what workload.py tells (inside.py, in the guest), holds what was
found against it (experiment.py, leak_checks.py, mismatch_checks.py), prints a table (__main__.py) and
what each kernel can (support.py).  Needs no root and no KVM; `here`, the running kernel, needs root.
"""
