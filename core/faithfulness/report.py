"""A report on faithfulness -> tables in Markdown, and a figure as SVG."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..scenes.shortcuts import SHORTCUTS
from ..words import markdown_table

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
STEERED = {
    "all": "components",
    "moving": "components that move a word by 1 logit or more",
    "control": "random directions of equal norm",
}
STYLES: Mapping[str, tuple[str, Any]] = {
    "gradient": ("#0072b2", "solid"),
    "integrated": ("#009e73", (0, (5, 2))),
    "energy": ("#d55e00", "dotted"),
    "lens": ("#b0508a", "dashdot"),
    "random": ("#555555", (0, (1, 3))),
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
    return markdown_table(heads, rows)


def recovery_table(report: Report) -> str:
    """Where each order has the first planted cause, for every shortcut."""
    rows = []
    for kind, found in report["recovery"].items():
        for method, name in NAMES.items():
            ranks = found["methods"][method]
            rows.append(
                [
                    f"{SHORTCUTS[kind].fooled_by}, {found['pictures']}" if method == "gradient" else "",
                    _percent(found["exists"]) if method == "gradient" else "",
                    name,
                    _number(ranks["median_rank"], 1),
                    *(_percent(share) for share in ranks["within"].values()),
                ]
            )
    within = next(iter(report["recovery"].values()))["methods"]["gradient"]["within"]
    heads = ["fooled by, pictures", "have a single cause", "order by", "median rank"]
    return markdown_table([*heads, *(f"within {n}" for n in within)], rows)


def steerability_table(report: Report) -> str:
    """How concentrated the components' effects are, beside random directions."""
    rows = []
    for key, name in STEERED.items():
        found = report["steerability"][key]
        shares = (_percent(found[kind], 1) for kind in ("above_half", "beyond_control"))
        rows.append([name, str(found["components"]), _number(found["median"]), *shares])
    heads = ["", "number", "median concentration", "above 0.5", "above 95 % of the random ones"]
    return markdown_table(heads, rows)


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
    return markdown_table(["component", "concept", "effect", "concentration"], rows)


def compared(reports: Mapping[str, Report]) -> str:
    """Several dictionaries of the bundled CLIP beside each other, by activation x gradient: one a row, by its name."""
    rows = []
    for name, report in reports.items():
        areas, correlation = report["area"]["gradient"], report["rank_correlation"]["gradient"]
        exists = (_percent(found["exists"]) for found in report["recovery"].values())
        rows.append([name, _number(areas["between"]), _number(correlation["effects"]), *exists])
    causes = (f"{SHORTCUTS[kind].fooled_by}: one suffices" for kind in next(iter(reports.values()))["recovery"])
    return markdown_table(["components", "area between the curves", "rank correlation", *causes], rows)


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


def figure(report: Report) -> str:
    """Deletion, insertion and, where it was measured, steerability, side by side, as an SVG on white.

    Lines differ in colour and in dashes; bands are the 95 % intervals.
    """
    n_panels = 3 if "steerability" in report else 2
    # Words stay words, and the same report gives the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "levers", "font.size": 9, "axes.grid": True}):
        drawing = Figure(figsize=(3.7 * n_panels, 3.1), layout="constrained")
        axes = drawing.subplots(1, n_panels)
        _draw_curves(axes[0], report, "deletion", "Deletion: the first n suppressed")
        _draw_curves(axes[1], report, "insertion", "Insertion: the first n put back")
        if n_panels == 3:
            _draw_steerability(axes[2], report["steerability"])
        drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=5, frameon=False)
        written = StringIO()
        drawing.savefig(written, format="svg", metadata={"Date": None, "Title": f"Faithfulness of {report['setup']}"})
    return written.getvalue()


def _draw_curves(axes: Axes, report: Report, kind: str, title: str) -> None:
    places = np.arange(len(report["counts"]))
    for method, name in NAMES.items():
        colour, dashes = STYLES[method]
        value, low, high = (
            np.array([point[end] for point in report[kind][method]], dtype=float) for end in ("value", "low", "high")
        )
        axes.plot(places, value, color=colour, linestyle=dashes, linewidth=1.6, label=name)
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xticks(places, [str(count) for count in report["counts"]])
    axes.set(title=title, xlabel="components n", ylabel="change of the target, logits")


def _draw_steerability(axes: Axes, found: Report) -> None:
    for key, name, method in (
        ("moving", "components that move a word", "gradient"),
        ("control", "random directions", "energy"),
    ):
        colour, dashes = STYLES[method]
        shares = 100 * np.array(found[key]["histogram"])
        edges = np.linspace(0, 1, len(shares) + 1)
        axes.stairs(shares, edges, color=colour, linestyle=dashes, linewidth=1.6, label=name)
    axes.set(title="Steerability", xlabel="concentration on one concept, 0 to 1", ylabel="share, %")
    axes.legend(frameon=False)
