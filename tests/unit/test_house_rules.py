# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a reader relies on: imports flow one way, files stay small and licensed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "slabtrace"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [p for folder in ("slabtrace", "bpf", "tests") for p in sorted((ROOT / folder).rglob("*.[pch]*"))]
SOURCES = [p for p in SOURCES if p.suffix in (".py", ".c", ".h")]

# Which parts of the package each part may import; `slabtrace` itself stands for __init__.py.
MAY_IMPORT = {
    "errors": set(),
    "units": set(),
    "resources": {"errors"},
    "invoker": set(),
    "trace": {"errors", "trace", "slabtrace"},
    "analysis": {"errors", "units", "trace", "analysis"},
    "scanned": {"errors", "trace", "analysis"},
    "api": {"errors", "trace", "analysis", "scanned"},
    "render": {"errors", "units", "resources", "trace", "analysis", "render"},
    "capture": {"errors", "resources", "invoker", "trace", "capture", "slabtrace"},
    "commands": {
        "errors", "units", "resources", "invoker", "trace", "analysis", "api", "render", "capture",
        "commands", "slabtrace",
    },
    "slabtrace": {"api"},
    "__main__": {"commands"},
}  # fmt: skip

# Third-party packages that only one place may import.
ONLY_IN = {
    "matplotlib": "render/plots/",
    "bcc": "capture/",
    "click": "commands/",
    "jinja2": "render/html/",
    "textual": "render/top_app.py",
}


def part_of(module: Path) -> str:
    inside = module.relative_to(PACKAGE)
    first = inside.parts[0].removesuffix(".py")
    return "slabtrace" if first == "__init__" else first


def imported(source: str) -> Iterator[str]:
    """Every module name that `source` imports anywhere, lazily or for type checking included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            if node.module == "slabtrace":
                yield from (f"slabtrace.{alias.name}" for alias in node.names)


def violations(place: str, part: str, source: str) -> list[str]:
    """What the module at `place` (relative to the package), a member of `part`, may not import."""
    found = []
    for name in imported(source):
        top, _, rest = name.partition(".")
        if top == "slabtrace":
            target = rest.split(".")[0] or "slabtrace"
            if target in MAY_IMPORT and target not in MAY_IMPORT[part]:
                found.append(f"{place} imports {name}")
        elif top in ONLY_IN and not place.startswith(ONLY_IN[top]):
            found.append(f"{place} imports {name}, which belongs into {ONLY_IN[top]}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_flow_towards_the_data(module: Path) -> None:
    assert part_of(module) in MAY_IMPORT, "a new part: say in MAY_IMPORT what it may import"
    place = str(module.relative_to(PACKAGE))
    assert violations(place, part_of(module), module.read_text()) == []


@pytest.mark.parametrize(
    ("place", "part", "source"),
    [
        ("analysis/x.py", "analysis", "def f():\n    from slabtrace.render import text"),
        ("analysis/x.py", "analysis", "import slabtrace.capture.rings"),
        ("analysis/x.py", "analysis", "from slabtrace import commands"),
        ("trace/x.py", "trace", "from slabtrace.analysis import live"),
        ("render/text.py", "render", "import matplotlib.pyplot"),
        ("render/text.py", "render", "from slabtrace.capture import rings"),
        ("commands/x.py", "commands", "import bcc"),
        ("capture/x.py", "capture", "from slabtrace.analysis import pairing"),
    ],
)
def test_a_forbidden_import_is_noticed(place: str, part: str, source: str) -> None:
    assert len(violations(place, part, source)) >= 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_source_says_its_licence_first(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    in_the_kernel = any(path.is_relative_to(ROOT / place) for place in ("bpf", "tests/kernels/module"))
    licence = "GPL-2.0 OR Apache-2.0" if in_the_kernel and path.suffix in (".c", ".h") else "Apache-2.0"
    assert first.removesuffix(" */").endswith(f"SPDX-License-Identifier: {licence}")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_source_is_longer_than_one_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
