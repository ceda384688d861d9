# SPDX-License-Identifier: Apache-2.0
"""matplotlib's SVG, changed so that it can be part of a page: no style, the page's colours, unique ids.

The page's security policy allows only the page's own style, so style attributes become presentation
attributes with the same effect.  Greys of reports/slabtrace.mplstyle become the page's colours, which
change with light and dark mode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from xml.etree import ElementTree as Xml

from markupsafe import Markup

from slabtrace.render.plots.canvas import LOST, QUIET, ROOM, Drawing, save

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
HREF = f"{{{XLINK}}}href"
COLOURS = {
    "#ffffff": "var(--page)",
    "#333333": "var(--ink)",
    "#555555": "var(--soft)",
    QUIET: "var(--soft)",
    "#dddddd": "var(--line)",
    ROOM: "var(--room)",
    LOST: "var(--lost)",
    "#000000": "var(--ink)",
}
_DROPPED = (f"{{{SVG}}}style", f"{{{SVG}}}metadata")
_POINTS = re.compile(r"(\d+\.\d)\d+")  # a tenth of a point is finer than a pixel


def inline(draw: Callable[[], Drawing], label: str, salt: str) -> Markup:
    """The figure that `draw` makes as an <svg> for a page; `label` describes it for screen readers.

    `salt` makes its ids different from those of other pictures in the page.
    """
    content = io.BytesIO()
    save(draw, content, "svg", fonttype="none")
    root = Xml.fromstring(content.getvalue())  # noqa: S314  matplotlib has just written it
    _clean(root, salt)
    root.set("role", "img")
    root.set("aria-label", label)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    Xml.register_namespace("", SVG)
    Xml.register_namespace("xlink", XLINK)
    return Markup(Xml.tostring(root, encoding="unicode"))  # noqa: S704  ElementTree has escaped it


def _clean(element: Xml.Element, salt: str) -> None:
    for child in list(element):
        if child.tag in _DROPPED:
            element.remove(child)
        else:
            _clean(child, salt)
    for pair in element.attrib.pop("style", "").split(";"):
        name, _, value = pair.partition(":")
        if name.strip() == "font":
            element.attrib.update(_font(value))
        elif value:
            element.set(name.strip(), value.strip())
    for name in ("fill", "stroke"):
        if name in element.attrib:
            element.set(name, COLOURS.get(element.attrib[name], element.attrib[name]))
    if "d" in element.attrib:
        element.set("d", _POINTS.sub(r"\1", " ".join(element.attrib["d"].split())))
    if element.tag == f"{{{SVG}}}text":
        element.attrib.setdefault("fill", "var(--ink)")
    _rename(element, salt)


def _font(shorthand: str) -> dict[str, str]:
    """CSS's `font: bold 12px 'DejaVu Sans', …` as attributes; the family is the page's own."""
    size = re.search(r"([\d.]+)px", shorthand)
    weight = {"font-weight": "bold"} if re.search(r"\b(bold|[6-9]00)\b", shorthand) else {}
    return {**weight, "font-size": size[1] if size else "11"}


def _rename(element: Xml.Element, salt: str) -> None:
    """Prefix ids, and what refers to them, by `salt`."""
    if "id" in element.attrib:
        element.set("id", f"{salt}-{element.attrib['id']}")
    if element.get(HREF, "").startswith("#"):
        element.set(HREF, f"#{salt}-{element.attrib[HREF][1:]}")
    for name in ("clip-path", "fill"):
        if element.get(name, "").startswith("url(#"):
            element.set(name, f"url(#{salt}-{element.attrib[name][5:]}")
