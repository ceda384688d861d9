# SPDX-License-Identifier: Apache-2.0
"""Debian's releases, each with its Python and its bcc in a folder of its own, on the running kernel.

`python -m tests.releases`, as root, installs slabtrace in each as users do, and records what is known.
"""
