# SPDX-License-Identifier: Apache-2.0
"""The kernel lab: real Debian kernels in QEMU, and slabtrace inside them.

`python -m tests.kernels [6.12 …]` fetches (packages.py), boots (guest.py, initramfs.py), checks
(inside.py, which runs in the guest) and prints a table (__main__.py).  Needs no root and no KVM.
"""
