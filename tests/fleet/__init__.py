# SPDX-License-Identifier: Apache-2.0
"""By hand: large synthetic fleets with known answers, engines that are killed, and three kernels of the lab.

    python -m tests.fleet                 # everything, about ten minutes
    python -m tests.fleet planted empty   # some of it

Each part prints what it saw beside what it must reach.
"""
