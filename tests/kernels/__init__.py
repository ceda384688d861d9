# SPDX-License-Identifier: Apache-2.0
"""The kernel lab: real Debian kernels in QEMU, and slabtrace inside them.

`python -m tests.kernels --help` says what it does.  packages.py fetches the kernels; build.py compiles what
guests run (module/ has the faults); guest.py and initramfs.py boot; in the guest, inside.py records what
workload.py does; waits.py decides when the workload continues; last_state.py shows a guest that missed a
deadline; experiment.py, leak_checks.py, inspection_checks.py and mismatch_checks.py compare; support.py
makes the table.
"""
