# SPDX-License-Identifier: Apache-2.0
"""`python -m slabtrace`: the same as the command `slabtrace`."""

from slabtrace.commands.main import main

if __name__ == "__main__":
    main()
