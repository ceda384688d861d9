# SPDX-License-Identifier: Apache-2.0
"""What the scenarios do: each load makes objects of a kind, keeps them or gives them back."""
