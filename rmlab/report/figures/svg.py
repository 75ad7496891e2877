"""Matplotlib figures as SVG inside a page, with the page's colours, unique ids and alt text."""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from rmlab.report.wording import clean

# Each colour stands for a CSS variable of the page, so that figures follow the light and dark scheme.
COLOURS = {
    "ink": "#1c2127",
    "muted": "#59626d",
    "quiet": "#707984",
    "grid": "#e4e7eb",
    "fill": "#c9ced5",
    "paper": "#fefefe",
    "series-1": "#0067a5",
    "series-2": "#b05c00",
    "series-3": "#0b4f2f",
    "series-4": "#9b30e8",
    "series-5": "#d0386a",
    "series-6": "#5f0f40",
}
_VARIABLES = {colour: f"var(--{role}, {colour})" for role, colour in COLOURS.items()}
_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # an arm may be called a$b$c
    "text.usetex": False,
    "font.family": "DejaVu Sans",  # for measuring; the page sets its own, narrower font
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": COLOURS["quiet"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.titlecolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["quiet"],
    "ytick.color": COLOURS["quiet"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}
ET.register_namespace("", _SVG)


def draw(name: str, alt: str, size: tuple[int, int], paint: Callable[[Figure], None]) -> str:
    """The SVG of a figure of `size` CSS pixels, drawn by `paint`; its ids begin with `name`."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The measuring font lacks some scripts; the reader's browser does not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        paint(figure)
        buffer = io.StringIO()
        metadata: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        # Unlike savefig, the canvas lays the figure out only once: no tight bounding box is needed.
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
    return _inline(buffer.getvalue(), name, clean(alt))


def draw_png(file: BinaryIO, size: tuple[int, int], paint: Callable[[Figure], None]) -> None:
    """Writes a PNG of what draw() draws, on white, with two pixels for each CSS pixel."""
    with mpl.rc_context({**_STYLE, "figure.facecolor": "#ffffff"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=144, layout="constrained")
        paint(figure)
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


def entitle(axes: Axes, title: str, note: str) -> Text:
    """Writes a title above the axes, and a note of one line below it, which is returned."""
    axes.set_title(f"{title}\n")
    return axes.text(0, 1.02, note, transform=axes.transAxes, color=COLOURS["muted"], fontsize=11)


def label_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Makes the vertical axis a list of labelled rows, the first on top, at 0, 1, 2, ..."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _inline(text: str, name: str, alt: str) -> str:
    """The SVG as an element for HTML: scalable, with the page's colours, unique ids and alt text."""
    root = ET.fromstring(text)
    for child in list(root):
        # matplotlib's style sheet would apply to the whole page.
        if child.tag == f"{{{_SVG}}}metadata" or child.find(f"{{{_SVG}}}style") is not None:
            root.remove(child)
    for node in root.iter():
        _colour(node)
    _rename_ids(root, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"role": "img", "aria-label": alt}
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _colour(node: ET.Element) -> None:
    for attribute in ("style", "fill", "stroke"):
        value = node.get(attribute)
        if value is not None:
            node.set(attribute, re.sub(r"#[0-9a-f]{6}", lambda m: _VARIABLES.get(m[0], m[0]), value))


def _rename_ids(root: ET.Element, name: str) -> None:
    """Makes ids unique in the page: removes those without a reference, begins the others with the name."""
    used: set[str] = set()
    for node in root.iter():
        for key, value in list(node.attrib.items()):
            if key == _HREF:
                used.add(value[1:])
                del node.attrib[key]
                node.set("href", f"#{name}-{value[1:]}")
            elif match := _REFERENCE.search(value):
                used.add(match[1])
                node.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
    for node in root.iter():
        identity = node.attrib.pop("id", None)
        if identity in used:
            node.set("id", f"{name}-{identity}")
