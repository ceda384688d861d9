# SPDX-License-Identifier: Apache-2.0
"""The judgement of what is outstanding: growth, survival, classes, rules, and two recordings compared."""
