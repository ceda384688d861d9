# SPDX-License-Identifier: Apache-2.0
"""By hand: large synthetic fleets with known answers, and engines that are killed.

    python -m tests.fleet                 # everything, about ten minutes
    python -m tests.fleet planted empty   # some of it

Each part prints what it saw beside what it must reach.
"""
