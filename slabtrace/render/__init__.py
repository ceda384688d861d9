# SPDX-License-Identifier: Apache-2.0
"""Renderers: take tables and a stream, write; they look nothing up and compute no findings."""
