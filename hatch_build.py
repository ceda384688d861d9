# SPDX-License-Identifier: Apache-2.0
"""Build hook of hatchling: adds man pages, made from the commands' help (slabtrace/commands/man.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface):
    """Makes the pages in build/man, which the wheel installs as share/man/man1."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the pages before a wheel is built; an editable one only points at a checkout and has none."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        try:
            from slabtrace.commands.man import write_pages
        finally:
            sys.path.remove(self.root)
        folder = Path(self.root) / "build" / "man"
        folder.mkdir(parents=True, exist_ok=True)
        pages = write_pages(folder)
        build_data["shared_data"] |= {str(page): f"share/man/man1/{page.name}" for page in pages}
