"""Style: the colours of a report, light and dark, and matplotlib figures that take their colours from the page.

A figure is drawn in stand-in colours, one for each role. In the SVG each stand-in becomes a CSS variable of the page, so
that one figure serves light and dark. The hues are those of Okabe & Ito, "Color Universal Design", 2008: readers with any of the
common colour vision deficiencies can distinguish them, and colour is never the only sign of a difference.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from quickstudy.process_wide import without_warnings

# part: (stand-in, light, dark)
COLOURS = {
    "ink": ("#010203", "#1c2430", "#e8ecf2"),
    "muted": ("#020304", "#5b6675", "#9aa6b6"),
    "grid": ("#030405", "#e3e7ed", "#2b3442"),
    "paper": ("#040506", "#ffffff", "#171d27"),
    "first": ("#050607", "#0072b2", "#56b4e9"),
    "second": ("#060708", "#d55e00", "#f0803c"),
    "third": ("#070809", "#009e73", "#2fc79b"),
    "fourth": ("#08090a", "#b3598a", "#d98bb4"),
    "fifth": ("#090a0b", "#a97400", "#e69f00"),
}
INK, MUTED, GRID, PAPER, FIRST, SECOND, THIRD, FOURTH, FIFTH = (stand_in for stand_in, _, _ in COLOURS.values())
SEQUENCE = (FIRST, SECOND, THIRD, FOURTH, FIFTH)  # of classes
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "quickstudy",  # the same numbers give the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.edgecolor": "none",
    "legend.facecolor": PAPER,
    "legend.framealpha": 0.85,
    "legend.fontsize": 9,
    "lines.linewidth": 2,
    "lines.markersize": 6,
    "lines.solid_capstyle": "round",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


@contextmanager
def figure(width: float, height: float, panels: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of `width` x `height` inches with panels side by side, drawn with the settings above."""
    with matplotlib.rc_context(SETTINGS):
        made = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(made)
        yield made, [made.add_subplot(1, panels, index + 1) for index in range(panels)]


def legend(made: Figure, axes: Axes, columns: int = 1) -> None:
    """The legend of what `axes` shows, above the figure's panels: inside it would hide numbers."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        made.legend(handles, labels, loc="outside upper left", ncols=columns)


def plain(text: str) -> str:
    """A name as matplotlib draws it unchanged: a dollar begins no formula."""
    return text.replace("$", r"\$")


def svg(made: Figure, name: str) -> str:
    """The figure as an inline SVG element with ids that begin with `name` and with the page's colours."""
    file = io.StringIO()
    with matplotlib.rc_context(SETTINGS), without_warnings:  # of letters that our font lacks: the reader's browser draws them
        made.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # an HTML parser knows them
    text = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 class="plot" aria-hidden="true">', text, count=1)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    for part, (stand_in, _, _) in COLOURS.items():
        text = text.replace(stand_in, f"var(--{part})")
    return text.strip()


def variables(theme: int) -> str:
    """The CSS variables of a theme: 1 light, 2 dark."""
    return " ".join(f"--{part}: {colours[theme]};" for part, colours in COLOURS.items())
