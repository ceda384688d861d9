# SPDX-License-Identifier: Apache-2.0
"""What slabtrace costs, beside its peers, measured side by side in one run.  See README.md."""
