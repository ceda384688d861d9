# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a reader relies on: imports flow one way, files stay small and licensed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

PACKAGE = ROOT / "slabtrace"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [p for folder in ("slabtrace", "bpf", "tests") for p in sorted((ROOT / folder).rglob("*.[pch]*"))]
SOURCES = [p for p in SOURCES if p.suffix in (".py", ".c", ".h")]

# Which parts of the package each part may import; `slabtrace` itself stands for __init__.py.
MAY_IMPORT = {
    "errors": set(),
    "units": set(),
    "resources": {"errors"},
    "columns": {"columns"},
    "invoker": set(),
    "trace": {"errors", "trace", "slabtrace"},
    "analysis": {"errors", "units", "columns", "trace", "analysis"},
    "series": {"errors", "trace", "analysis", "series"},
    "api": {"errors", "columns", "trace", "analysis"},
    "render": {"errors", "units", "resources", "columns", "trace", "analysis", "render"},
    "capture": {"errors", "resources", "invoker", "trace", "capture", "slabtrace"},
    "cli": {
        "errors", "units", "columns", "invoker", "trace", "analysis", "series", "api", "render", "capture",
        "cli", "slabtrace",
    },
    "commands": {
        "errors", "units", "columns", "resources", "invoker", "trace", "analysis", "api", "render", "capture",
        "cli", "commands", "slabtrace",
    },
    "slabtrace": {"api"},
    "__main__": {"commands"},
}  # fmt: skip

# The floors of a part, from the ground up: what stands on a floor may import its own floor's room and
# those below it, never one beside it or above.  Rooms are packages; a name ending in .py is a module.
FLOORS = {
    "trace": ["format", "files", "manifest.py memory.py", "reading", "writing", "redaction"],
    "analysis": [
        "names", "pairing", "counting", "trust", "grouping", "tables", "leaks", "mismatches", "opened",
        "live.py",
    ],
    "capture": [
        "process", "kernel", "programs", "slabs", "budget.py", "options.py", "stream",
        "host.py preflight.py marks.py", "session.py", "storing", "recorder.py",
    ],
    "render": ["terminal", "json.py plots", "top html export"],
    "commands": ["reading completion.py", "recording", "__init__.py", "main.py man.py"],
}  # fmt: skip

MOST_MODULES = 15  # flat in one room
MOST_LINES_OF_A_DOCSTRING = 10

# Third-party packages that only one place may import.
ONLY_IN = {
    "matplotlib": "render/plots/",
    "bcc": "capture/",
    "click": ("commands/", "cli/"),
    "jinja2": "render/html/",
    "textual": "render/top/app.py",
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
            if (node.module or "").split(".")[0] == "slabtrace":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(part: str, place: str) -> tuple[int, str]:
    """The floor on which the module or package `place` of `part` stands, and its room."""
    first = place.split("/")[0] if place else "__init__.py"
    for number, rooms in enumerate(FLOORS[part]):
        for room in rooms.split():
            if first.removesuffix(".py") == room.removesuffix(".py"):
                return number, room
    raise AssertionError(f"{part}/{place} stands on no floor: say on which in FLOORS")


def upwards(module: Path, source: str) -> list[str]:
    """The imports of `module` that go up, or across a floor."""
    part, found = part_of(module), []
    if part not in FLOORS or (module.name == "__init__.py" and len(module.relative_to(PACKAGE).parts) == 2):
        return []
    floor, room = floor_of(part, str(module.relative_to(PACKAGE / part)))
    for name in imported(source):
        target = PACKAGE.parent / name.replace(".", "/")
        is_module = target.is_dir() or target.with_suffix(".py").exists()
        if not (is_module and name.startswith(f"slabtrace.{part}.")):
            continue
        where, there = floor_of(part, "/".join(name.split(".")[2:]))
        if there != room and where >= floor:
            found.append(f"{module.relative_to(PACKAGE)} imports {name}")
    return found


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


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_the_floors(module: Path) -> None:
    assert upwards(module, module.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("analysis/names/x.py", "from slabtrace.analysis.pairing.pairer import Pairer"),
        ("analysis/pairing/x.py", "def f():\n    import slabtrace.analysis.live"),
        ("capture/kernel/x.py", "from slabtrace.capture import recorder"),
        ("capture/session.py", "from slabtrace.capture.storing.storing import Storing"),
        ("render/top/x.py", "from slabtrace.render.html import page"),
    ],
)
def test_an_import_up_the_floors_is_noticed(module: str, source: str) -> None:
    assert len(upwards(PACKAGE / module, source)) >= 1


@pytest.mark.parametrize("room", sorted({path.parent for path in MODULES}), ids=lambda p: str(p.name))
def test_a_room_is_seen_at_a_glance(room: Path) -> None:
    assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


@pytest.mark.parametrize(
    "room", sorted({path.parent for path in MODULES} - {PACKAGE}), ids=lambda p: str(p.name)
)
def test_every_room_of_the_analysis_and_capture_has_its_tests(room: Path) -> None:
    inside = room.relative_to(PACKAGE)
    assert inside.parts[0] not in ("analysis", "capture", "trace") or (ROOT / "tests/unit" / inside).is_dir()


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_says_what_it_is_in_ten_lines(module: Path) -> None:
    text = (ast.get_docstring(ast.parse(module.read_text())) or "").split("\n\nExample:")[0]
    assert 1 <= len(text.splitlines()) <= MOST_LINES_OF_A_DOCSTRING


@pytest.mark.parametrize(
    ("place", "part", "source"),
    [
        ("analysis/x.py", "analysis", "def f():\n    from slabtrace.render import text"),
        ("analysis/x.py", "analysis", "import slabtrace.capture.stream.rings"),
        ("analysis/x.py", "analysis", "from slabtrace import commands"),
        ("trace/x.py", "trace", "from slabtrace.analysis import live"),
        ("render/terminal/text.py", "render", "import matplotlib.pyplot"),
        ("render/terminal/text.py", "render", "from slabtrace.capture import rings"),
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
