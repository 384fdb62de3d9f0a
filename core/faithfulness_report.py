"""A report on faithfulness -> tables in Markdown, and a figure as SVG, drawn by hand: one figure needs no package."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Report = Mapping[str, Any]
"""What `core.faithfulness` writes as JSON."""

NAMES = {
    "gradient": "activation × gradient",
    "integrated": "integrated gradients",
    "energy": "activation energy",
    "lens": "logit lens",
    "random": "random",
}
"""The methods as people read them."""
FOOLED_BY = {"attacked": "a conflicting word", "stamped": "the stamp", "flooded": "water"}
STEERED = {
    "all": "components",
    "moving": "components that move a word by 1 logit or more",
    "control": "random directions of equal norm",
}
STYLES = {
    "gradient": ("#0072b2", ""),
    "integrated": ("#009e73", "7 3"),
    "energy": ("#d55e00", "2 2"),
    "lens": ("#b0508a", "8 3 2 3"),
    "random": ("#555555", "1 4"),
}
"""Colour, of Okabe and Ito's palette for all kinds of colour vision, and dashes."""

_ENDS = ("value", "low", "high")


# Tables


def _number(estimate: Report, digits: int = 2) -> str:
    if estimate["value"] is None:
        return "–"
    value, low, high = (f"{estimate[key]:.{digits}f}" if estimate[key] is not None else "?" for key in _ENDS)
    return f"{value} ({low} to {high})".replace("-", "−")


def _percent(estimate: Report, digits: int = 0) -> str:
    if estimate["value"] is None:
        return "–"
    value, low, high = (f"{100 * estimate[key]:.{digits}f}" if estimate[key] is not None else "?" for key in _ENDS)
    return f"{value} % ({low} to {high})"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def curves_table(report: Report) -> str:
    """Areas and rank correlations of every method."""
    rows = []
    for method, name in NAMES.items():
        areas = report["area"][method]
        correlation = report["rank_correlation"].get(method)
        rows.append(
            [
                name,
                *(_number(areas[kind]) for kind in ("deletion", "insertion", "between")),
                *(_number(correlation[kind]) if correlation else "" for kind in ("effects", "sizes")),
            ]
        )
    heads = ["order by", "under deletion", "under insertion", "between them", "effects", "their sizes"]
    return _rows(heads, rows)


def recovery_table(report: Report) -> str:
    """Where each order has the first planted cause, for every shortcut."""
    rows = []
    for kind, found in report["recovery"].items():
        for method, name in NAMES.items():
            ranks = found["methods"][method]
            rows.append(
                [
                    f"{FOOLED_BY[kind]}, {found['pictures']}" if method == "gradient" else "",
                    _percent(found["exists"]) if method == "gradient" else "",
                    name,
                    _number(ranks["median_rank"], 1),
                    *(_percent(share) for share in ranks["within"].values()),
                ]
            )
    within = next(iter(report["recovery"].values()))["methods"]["gradient"]["within"]
    heads = ["fooled by, pictures", "have a single cause", "order by", "median rank"]
    return _rows([*heads, *(f"within {n}" for n in within)], rows)


def steerability_table(report: Report) -> str:
    """How concentrated the components' effects are, beside random directions."""
    rows = []
    for key, name in STEERED.items():
        found = report["steerability"][key]
        shares = (_percent(found[kind], 1) for kind in ("above_half", "beyond_control"))
        rows.append([name, str(found["components"]), _number(found["median"]), *shares])
    heads = ["", "number", "median concentration", "above 0.5", "above 95 % of the random ones"]
    return _rows(heads, rows)


def strongest_table(report: Report) -> str:
    """The components that move one concept and little else."""
    rows = [
        [
            str(one["component"]),
            one["concept"],
            f"{one['effect']:+.2f}".replace("-", "−"),
            f"{one['concentration']:.2f}",
        ]
        for one in report["steerability"]["strongest"]
    ]
    return _rows(["component", "concept", "effect", "concentration"], rows)


def tables(report: Report) -> str:
    """All that the report holds, in Markdown: sentences and tables."""
    parts = [
        f"Mean change of the target ({report['explained']}) under each curve, in logits, over {report['pictures']} "
        "pictures, and median rank correlation of predicted and measured effects; 95 % intervals in brackets:",
        curves_table(report),
    ]
    if "recovery" in report:
        parts += [
            "The first component in each order whose suppression alone takes the prediction off the lure, over the "
            "pictures that have one:",
            recovery_table(report),
        ]
    if "steerability" in report:
        n_words = len(report["steerability"]["vocabulary"])
        parts += [
            "Each component set on a grey picture as it typically fires: how much of what it does to the logits of "
            f"{n_words} words falls on one of them (0 to 1):",
            steerability_table(report),
            "The most concentrated of those that move a word by 1 logit or more, and their effect on it, against the "
            "mean of all words, in logits:",
            strongest_table(report),
        ]
    return "\n\n".join(parts)


# The figure

WIDTH, HEIGHT = 360, 250
TOP, LEFT, BOTTOM = 34, 52, 44


@dataclass(frozen=True)
class _Panel:
    """A plot with its axes: from numbers to places."""

    left: float
    """Where it begins, in pixels."""
    x: tuple[float, float]
    """The range across."""
    y: tuple[float, float]
    """The range upwards."""

    def place(self, x: float, y: float) -> str:
        """A point, "x,y" in pixels."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return f"{self.left + LEFT + across * (WIDTH - LEFT - 16):.1f},{TOP + (1 - up) * (HEIGHT - TOP - BOTTOM):.1f}"

    def text(self, x: float, y: float, words: str, dx: float, dy: float, anchor: str, more: str = "") -> str:
        """Words beside a point."""
        at_x, at_y = (float(part) for part in self.place(x, y).split(","))
        return f'<text x="{at_x + dx:.1f}" y="{at_y + dy:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str, dashes: str, width: float = 2) -> str:
        """A line through points."""
        points = " ".join(self.place(x, y) for x, y in zip(xs, ys, strict=True))
        return (
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" '
            f'stroke-dasharray="{dashes or "none"}"/>'
        )

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> str:
        """The region between two lines."""
        edge = [*zip(xs, high, strict=True), *zip(reversed(xs), reversed(low), strict=True)]
        points = " ".join(self.place(x, y) for x, y in edge)
        return f'<polygon points="{points}" fill="{colour}" fill-opacity="0.16"/>'

    def axes(self, title: str, across: str, up: str, marks: Mapping[float, str]) -> list[str]:
        """Grid, ticks and names; `marks` are the ticks across."""
        (x0, x1), (y0, y1) = self.x, self.y
        parts = [self.text(x0, y1, title, 0, -14, "start", 'font-weight="600"')]
        for y in ticks(y0, y1):
            parts.append(self.line((x0, x1), (y, y), "#d9dde5", "", 1))
            parts.append(self.text(x0, y, f"{y:g}".replace("-", "−"), -6, 4, "end"))
        for x, name in marks.items():
            parts.append(self.text(x, y0, name, 0, 16, "middle"))
        parts.append(self.line((x0, x1), (y0, y0), "#5b6475", "", 1))
        parts.append(self.text((x0 + x1) / 2, y0, across, 0, 34, "middle"))
        at_x, at_y = self.place(x0, (y0 + y1) / 2).split(",")
        at = f"{float(at_x) - 40:.1f} {at_y}"
        parts.append(f'<text transform="translate({at}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
        return parts


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, about five, a step of 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    return [float(round(k * step, 10)) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def figure(report: Report) -> str:
    """Deletion, insertion and, where it was measured, steerability, side by side, as an SVG on white.

    Lines differ in colour and in dashes; bands are the 95 % intervals.
    """
    panels = [
        _curve_panel(report, "deletion", "Deletion: the first n suppressed", 0),
        _curve_panel(report, "insertion", "Insertion: the first n put back", WIDTH),
    ]
    if "steerability" in report:
        panels.append(_steerability_panel(report["steerability"], 2 * WIDTH))
    width, height = WIDTH * len(panels), HEIGHT + 30
    body = "\n".join([part for panel in panels for part in panel] + _legend())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="11" fill="#2a3040">\n'
        f"<title>Faithfulness of the setup “{escape(report['setup'])}”</title>\n"
        f"<desc>Mean over {report['pictures']} pictures; the target is {escape(report['explained'])}.</desc>\n"
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _curve_panel(report: Report, kind: str, title: str, left: float) -> list[str]:
    counts = report["counts"]
    places = list(range(len(counts)))
    drawn = {name: ends for name in NAMES if (ends := _ends(report[kind][name]))}
    reached = [value for ends in drawn.values() for line in ends for value in line] or [0.0]
    low, high = min(0.0, *reached), max(0.0, *reached)
    pad = 0.05 * ((high - low) or 1.0)
    panel = _Panel(left, (0, len(counts) - 1), (low - pad, high + pad))
    marks = {float(place): str(count) for place, count in zip(places, counts, strict=True)}
    parts = panel.axes(title, "components n", "change of the target, logits", marks)
    parts += [panel.band(places, ends[1], ends[2], STYLES[name][0]) for name, ends in drawn.items()]
    parts += [panel.line(places, ends[0], *STYLES[name]) for name, ends in drawn.items()]
    return parts


def _ends(points: Sequence[Report]) -> tuple[list[float], list[float], list[float]] | None:
    """Values and their intervals along a curve; a missing interval is the value itself. None without values."""
    if any(point["value"] is None for point in points):
        return None
    value, low, high = ([p["value"] if p[key] is None else p[key] for p in points] for key in _ENDS)
    return value, low, high


def _steerability_panel(found: Report, left: float) -> list[str]:
    styles = {
        "moving": ("components that move a word", *STYLES["gradient"]),
        "control": ("random directions", *STYLES["energy"]),
    }
    shares = {key: [100 * share for share in found[key]["histogram"]] for key in styles}
    n = len(shares["moving"])
    panel = _Panel(left, (0, 1), (0, 1.05 * max(map(max, shares.values()))))
    parts = panel.axes("Steerability", "concentration on one concept", "share, %", {0: "0", 0.5: "0.5", 1: "1"})
    edges = [edge / n for edge in range(n + 1) for _ in range(2)]
    for row, (key, (name, colour, dashes)) in enumerate(styles.items()):
        steps = [0.0, *(share for share in shares[key] for _ in range(2)), 0.0]
        parts.append(panel.line(edges, steps, colour, dashes))
        parts.append(panel.text(1, panel.y[1], name, 0, 14 + 15 * row, "end", f'fill="{colour}" font-weight="600"'))
    return parts


def _legend() -> list[str]:
    """The methods' lines, in one row below the curves."""
    parts, x = [], LEFT
    for name, words in NAMES.items():
        colour, dashes = STYLES[name]
        parts.append(
            f'<line x1="{x}" x2="{x + 26}" y1="{HEIGHT + 12}" y2="{HEIGHT + 12}" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dashes or "none"}"/><text x="{x + 31}" y="{HEIGHT + 16}">{words}</text>'
        )
        x += 44 + round(5.9 * len(words))
    return parts
