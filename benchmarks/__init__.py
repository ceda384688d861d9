# SPDX-License-Identifier: Apache-2.0
"""What slabtrace costs, measured beside other tracers in one run.  See README.md."""
