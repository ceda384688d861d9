# SPDX-License-Identifier: Apache-2.0
"""A flame graph as SVG: functions below their callers, as wide as the bytes or objects they hold.

Positions are percentages, so that the graph fits any width, and reports/report.js zooms by changing
them; without the script it is a picture with tooltips.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from markupsafe import Markup

from slabtrace.render.terminal.stack_tree import Node, stack_tree
from slabtrace.render.terminal.text import elide
from slabtrace.units import percent, plural, size

if TYPE_CHECKING:
    import pandas as pd

FRAMES = 2500  # of one graph: 500 KB of SVG; the narrowest are left out
NARROWEST = 0.0004  # of the whole: half a pixel on a wide screen
TEXT_FROM = 0.02  # frames at least this wide have their name written from the start
LONGEST = 160  # letters of a name: the kernel's may have 512
ROW, HEIGHT = 18, 17  # px
COLOURS = 6  # classes k0 … in reports/report.css


@dataclass
class Frame:
    """A rectangle: a node, the share of the whole to its left, its width as a share, its row."""

    node: Node
    left: float
    width: float
    row: int


@dataclass
class Graph:
    """A flame graph for a page: its SVG, its total, and how many frames are too narrow to be shown."""

    svg: Markup
    total: int
    objects: int
    hidden: int


def flame_graph(totals: pd.DataFrame, what: str, unit: str = "bytes", standalone: bool = False) -> Graph:
    """The graph of `what` (a key of stack_tree.WHAT) in `totals` (analysis' stack_totals()).

    `standalone`: an SVG file of its own, with its style inside.
    """
    root = stack_tree(totals, what)
    total = root.value(unit)
    every = sorted(_frames(root, unit, 0.0, 0, max(total, 1)), key=lambda frame: -frame.width)
    shown = [frame for frame in every[:FRAMES] if frame.width >= NARROWEST]
    shown.sort(key=lambda frame: (frame.row, frame.left))
    svg = Markup(_svg(shown, unit, total, standalone))  # noqa: S704  ElementTree has escaped it
    return Graph(svg, total, root.objects, len(every) - len(shown))


def _frames(node: Node, unit: str, left: float, row: int, total: int) -> Iterator[Frame]:
    """The frames of `node` and all below it, children by value."""
    yield Frame(node, left, node.value(unit) / total, row)
    for child in sorted(node.children.values(), key=lambda each: (-each.value(unit), each.name)):
        if child.value(unit):
            yield from _frames(child, unit, left, row + 1, total)
            left += child.value(unit) / total


def _svg(frames: list[Frame], unit: str, total: int, standalone: bool) -> str:
    rows = 1 + max((frame.row for frame in frames), default=0)
    attributes = {"class": "flame", "width": "100%", "height": str(rows * ROW), "role": "group"}
    if standalone:
        attributes |= {"xmlns": "http://www.w3.org/2000/svg", "width": "1200"}
    root = Xml.Element("svg", attributes)
    if standalone:
        Xml.SubElement(root, "style").text = STANDALONE_STYLE
    for frame in frames:
        _draw(root, frame, unit, total)
    return Xml.tostring(root, encoding="unicode", short_empty_elements=True)


def _draw(root: Xml.Element, frame: Frame, unit: str, total: int) -> None:
    node = frame.node
    place = {"x": f"{100 * frame.left:.3f}%", "width": f"{100 * frame.width:.3f}%"}
    box = Xml.SubElement(
        root, "svg", {"class": _colour(node.name), **place, "y": str(frame.row * ROW), "height": str(HEIGHT)}
    )
    share = percent(node.value(unit) / total if total else 0)
    name = elide(node.name, LONGEST)
    words = f"{name}\n{size(node.bytes)}, {plural(node.objects, 'object')}, {share} of {unit}"
    Xml.SubElement(box, "title").text = words
    Xml.SubElement(box, "rect", {"width": "100%", "height": "100%"})
    if frame.width >= TEXT_FROM:
        Xml.SubElement(box, "text", {"x": "3", "y": "12.5"}).text = name


def _colour(name: str) -> str:
    """A class for the colour: slab caches, modules, and functions by their name."""
    if name.startswith("["):
        return "f kc"
    if name.endswith("]") or "] (" in name:  # with source lines
        return "f km"
    return f"f k{zlib.crc32(name.encode()) % COLOURS}"


STANDALONE_STYLE = """
text { font: 11px sans-serif; fill: #222 } rect { stroke: #fff; stroke-width: .5 }
.k0 rect { fill: #f4c99a } .k1 rect { fill: #f0b98a } .k2 rect { fill: #f7d9a8 } .k3 rect { fill: #eecf8e }
.k4 rect { fill: #f2c4a4 } .k5 rect { fill: #f6e0b4 } .kc rect { fill: #9ccbe8 } .km rect { fill: #a5d9c2 }
"""
