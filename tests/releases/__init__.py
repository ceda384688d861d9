# SPDX-License-Identifier: Apache-2.0
"""Tests slabtrace in Debian's releases, each with its own Python and bcc, on the running kernel.

`python -m tests.releases`, as root, installs slabtrace in each release as users do, and records a known
workload.
"""
