# SPDX-License-Identifier: Apache-2.0
"""One small Parquet file that stands for a trace."""
