"""Files of figures for print: SVG, PDF and PNG at the width of one column or two, drawn by matplotlib.

Letters are DejaVu Sans, which comes with matplotlib: paths in SVG, embedded as TrueType in PDF. No text is read as
mathematics. Signs are told by shape and hatching, so that a figure is good in grey.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..errors import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["svg", "pdf", "png"]
Width = Literal["one", "two"]
WIDTHS: Mapping[Width, float] = MappingProxyType({"one": 85.0, "two": 174.0})
"""Of one column and of two, in mm."""
DOTS = 600
"""Of a PNG, per inch."""
INCH = 25.4
"""mm."""

_STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "font.family": "DejaVu Sans", "font.size": 7.0, "axes.titlesize": 7.0, "axes.labelsize": 7.0,
        "xtick.labelsize": 6.5, "ytick.labelsize": 7.0, "legend.fontsize": 6.5, "legend.frameon": False,
        "text.parse_math": False, "axes.unicode_minus": True, "svg.fonttype": "path", "pdf.fonttype": 42,
        "svg.hashsalt": "clip-levers", "axes.linewidth": 0.5, "xtick.major.width": 0.5, "ytick.major.width": 0.5,
        "xtick.major.size": 2.5, "ytick.major.size": 2.5, "hatch.linewidth": 0.5, "lines.linewidth": 1.2,
        "patch.linewidth": 0.5, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 100.0,
    }
)  # fmt: skip
_DRAWING = Lock()
"""matplotlib's settings are those of the process: one figure is drawn at a time."""


@dataclass(frozen=True)
class PrintFigure:
    """One figure, before it is drawn."""

    name: str
    """Of its file, without an ending."""
    title: str
    """What it shows, in a few words."""
    caption: str
    """What stands under it: what is to be seen, and all settings."""
    height: Callable[[Width], float]
    """In mm, at a width."""
    draw: Callable[["Figure", Width], None]
    """Draws it into an empty figure of that size."""


def figure_file(figure: PrintFigure, kind: Format, width: Width) -> bytes:
    """The figure as a file; its caption is in the file's metadata."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    size = (WIDTHS[width] / INCH, figure.height(width) / INCH)
    with _DRAWING, rc_context(dict(_STYLE)):
        drawn = Figure(figsize=size, layout="constrained")
        figure.draw(drawn, width)
        file = io.BytesIO()
        drawn.savefig(file, format=kind, dpi=DOTS, facecolor="white", metadata=_metadata(figure, kind))
    return file.getvalue()


def undrawable(text: str) -> str:
    """The letters of a text that the figures' font does not have, each once: boxes stand in their place."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(str(_STYLE["font.family"]))).get_charmap()
    return "".join(dict.fromkeys(letter for letter in printable(text) if ord(letter) not in known))


def _metadata(figure: PrintFigure, kind: Format) -> dict[str, str | None]:
    caption = {"svg": "Description", "pdf": "Subject", "png": "Description"}[kind]
    undated: dict[str, str | None] = {} if kind == "png" else {{"svg": "Date", "pdf": "CreationDate"}[kind]: None}
    return undated | {"Title": printable(figure.title), caption: printable(figure.caption)}
