# SPDX-License-Identifier: Apache-2.0
"""Rules for the sources: imports go in one direction, files are small and name their licence."""

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
    "elf_notes": set(),
    "columns": {"columns"},
    "invoker": set(),
    "trace": {"errors", "trace", "slabtrace"},
    "analysis": {"errors", "units", "columns", "trace", "analysis"},
    "series": {"errors", "trace", "analysis", "series"},
    "importing": {"errors", "units", "columns", "trace", "analysis", "importing"},
    "lines": {"errors", "elf_notes", "analysis", "lines"},
    "api": {"errors", "columns", "trace", "analysis", "lines"},
    "fleet": {"errors", "units", "columns", "trace", "analysis", "series", "api", "fleet", "slabtrace"},
    "render": {"errors", "units", "resources", "columns", "trace", "analysis", "render"},
    "capture": {"errors", "resources", "elf_notes", "invoker", "trace", "capture", "slabtrace"},
    "watching": {
        "errors", "units", "trace", "series", "fleet", "capture", "watching",
    },
    "cli": {
        "errors", "units", "columns", "invoker", "trace", "analysis", "series", "lines", "api", "fleet",
        "render", "capture", "cli", "slabtrace",
    },
    "commands": {
        "errors", "units", "columns", "resources", "invoker", "trace", "analysis", "api", "fleet", "render",
        "capture", "importing", "watching", "cli", "commands", "slabtrace",
    },
    "slabtrace": {"api"},
    "__main__": {"commands"},
}  # fmt: skip

# The layers of a part, from the lowest.  A package may import its own modules and lower layers, but no
# other package of the same layer and no higher one.  A name that ends in .py is a module.
LAYERS = {
    "trace": ["format", "files", "manifest.py memory.py", "reading", "writing", "redaction"],
    "analysis": [
        "statistics", "names", "processes memory", "pairing", "freeing", "counting", "carried",
        "trust", "grouping", "holders",
        "tables", "leaks", "mismatches", "comparing rules", "opened",
        "live",
    ],
    "capture": [
        "process", "kernel", "memory programs", "slabs", "budget.py", "options.py", "stream",
        "host.py marks.py other_memory.py",
        "sizing.py", "limits.py", "preflight.py", "inspecting", "session.py", "storing",
        "plan.py", "recorder.py",
    ],
    "importing": ["records.py distinct.py", "text", "formats making", "snapshots recording.py"],
    "render": ["terminal", "json.py plots", "top html export"],
    "fleet": [
        "signatures", "digests", "store.py", "sources", "engines", "merging", "judging metrics",
        "selection.py comparing.py", "running.py",
    ],
    "watching": [
        "triggers.py launch.py jobs.py state.py known.py", "settings.py conditions.py",
        "recorder.py judgement.py commands.py", "room.py exported.py", "triggered.py", "service.py",
        "running.py",
    ],
    "commands": ["reading sharing fleet completion.py", "recording", "__init__.py", "main.py man.py"],
}  # fmt: skip

MOST_MODULES = 15  # directly in one package
MOST_LINES_OF_A_DOCSTRING = 10

# Third-party packages that only one place may import.
ONLY_IN = {
    "matplotlib": "render/plots/",
    "bcc": "capture/",
    "click": ("commands/", "cli/"),
    "jinja2": "render/html/",
    "textual": "render/top/app.py",
    "distributed": "fleet/engines/",
    "dask": "fleet/engines/",
    "prometheus_client": "fleet/metrics/",
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


def layer_of(part: str, place: str) -> tuple[int, str]:
    """Number of the layer of the module or package `place` of `part`, and its name there."""
    first = place.split("/")[0] if place else "__init__.py"
    for number, packages in enumerate(LAYERS[part]):
        for package in packages.split():
            if first.removesuffix(".py") == package.removesuffix(".py"):
                return number, package
    raise AssertionError(f"{part}/{place} has no layer: add it to LAYERS")


def upwards(module: Path, source: str) -> list[str]:
    """The imports of `module` from a higher layer, or from another package of its own layer."""
    part, found = part_of(module), []
    if part not in LAYERS or (module.name == "__init__.py" and len(module.relative_to(PACKAGE).parts) == 2):
        return []
    layer, package = layer_of(part, str(module.relative_to(PACKAGE / part)))
    for name in imported(source):
        target = PACKAGE.parent / name.replace(".", "/")
        is_module = target.is_dir() or target.with_suffix(".py").exists()
        if not (is_module and name.startswith(f"slabtrace.{part}.")):
            continue
        where, there = layer_of(part, "/".join(name.split(".")[2:]))
        if there != package and where >= layer:
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
def test_imports_between_parts_are_allowed(module: Path) -> None:
    assert part_of(module) in MAY_IMPORT, "a new part: add what it may import to MAY_IMPORT"
    place = str(module.relative_to(PACKAGE))
    assert violations(place, part_of(module), module.read_text()) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_to_lower_layers(module: Path) -> None:
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
def test_an_import_from_a_higher_layer_is_found(module: str, source: str) -> None:
    assert len(upwards(PACKAGE / module, source)) >= 1


@pytest.mark.parametrize("package", sorted({path.parent for path in MODULES}), ids=lambda p: str(p.name))
def test_a_package_has_few_modules(package: Path) -> None:
    assert len([path for path in package.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


@pytest.mark.parametrize(
    "package", sorted({path.parent for path in MODULES} - {PACKAGE}), ids=lambda p: str(p.name)
)
def test_every_package_of_analysis_capture_and_trace_has_tests(package: Path) -> None:
    inside = package.relative_to(PACKAGE)
    assert (
        inside.parts[0] not in ("analysis", "capture", "fleet", "trace", "watching")
        or (ROOT / "tests/unit" / inside).is_dir()
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_has_a_short_docstring(module: Path) -> None:
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
def test_a_forbidden_import_is_found(place: str, part: str, source: str) -> None:
    assert len(violations(place, part, source)) >= 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_source_begins_with_its_licence(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    in_the_kernel = any(path.is_relative_to(ROOT / place) for place in ("bpf", "tests/kernels/module"))
    licence = "GPL-2.0 OR Apache-2.0" if in_the_kernel and path.suffix in (".c", ".h") else "Apache-2.0"
    assert first.removesuffix(" */").endswith(f"SPDX-License-Identifier: {licence}")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_source_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_member_of_an_enum_is_an_empty_tuple(module: Path) -> None:
    """Python 3.11.2, which Debian 12 has, makes a plain object() of it."""
    classes = [each for each in ast.walk(ast.parse(module.read_text())) if isinstance(each, ast.ClassDef)]
    enums = [each for each in classes if any(ast.unparse(base).endswith("Enum") for base in each.bases)]
    values = [line.value for each in enums for line in each.body if isinstance(line, ast.Assign)]
    assert not [each for each in values if isinstance(each, ast.Tuple) and not each.elts]
