"""Evidence -> plotly charts that read alike in light and dark: no background, grey ink, lines told apart by dashes."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ..methods.controls import Controls
from ..methods.dose_response import Response
from ..methods.steering import Edit
from ..methods.target import Target

INK, FAINT = "#7b869c", "rgba(123, 134, 156, .22)"
EDIT, RIVAL = "#5566d6", "#d9822b"
OTHERS = ("#009688", "#b0709f", "#8a8f3c")
"""Lines of the classes besides the target; told apart by dashes as well."""
DASHES = ("dash", "dot", "dashdot")
UNIT = "logits"


def chance(controls: Controls) -> go.Figure:
    """What random edits of the same size do to the target, and where the edit stands among them."""
    values = np.concatenate([controls.random, controls.directions, [controls.effect, controls.rival]])
    edges = np.linspace(values.min() - 1e-6, values.max() + 1e-6, 41)
    size = float(edges[1] - edges[0])
    bins = {"start": float(edges[0]), "end": float(edges[-1]), "size": size}
    chart = go.Figure(
        [
            go.Histogram(x=controls.random, xbins=bins, name="random components", marker_color=INK, opacity=0.85),
            go.Histogram(
                x=controls.directions, xbins=bins, name="random directions", marker_color="rgba(0,0,0,0)",
                marker_line={"color": INK, "width": 1.5},
            ),
        ]
    )  # fmt: skip
    chart.update_layout(barmode="overlay")
    for x, colour, dash, name in (
        (controls.rival, RIVAL, "dash", "most active components"),
        (controls.effect, EDIT, "solid", "your edit"),
    ):
        line = {"color": colour, "width": 3, "dash": dash}
        chart.add_vline(x=x, line=line)
        chart.add_trace(go.Scatter(x=[None], y=[None], mode="lines", name=name, line=line))
    pad = 0.04 * (edges[-1] - edges[0])
    chart.update_xaxes(range=[edges[0] - pad, edges[-1] + pad])
    return _laid_out(chart, f"change of the target, {UNIT}", "edits")


def dose(response: Response, classes: Sequence[str], target: Target, edit: Edit) -> go.Figure:
    """The target and the classes most affected besides it, against the factor on the activations."""
    chart = go.Figure()
    chart.add_vrect(x0=min(response.doses), x1=0, fillcolor=FAINT, line_width=0)
    against = "" if target.against is None else f" − {plain(classes[target.against])}"
    chart.add_trace(
        go.Scatter(
            x=response.doses, y=response.target - np.float32(response.before),
            name=f"target: {plain(classes[target.wanted])}{against}",
            mode="lines+markers", line={"color": EDIT, "width": 3},
        )
    )  # fmt: skip
    for k, colour, dash in zip(response.most_affected(), OTHERS, DASHES, strict=False):
        chart.add_trace(
            go.Scatter(
                x=response.doses, y=response.logits[:, k] - response.logits_before[k], name=plain(classes[k]),
                mode="lines", line={"color": colour, "width": 2, "dash": dash},
            )
        )  # fmt: skip
    for flip in response.flips:
        chart.add_vline(
            x=(flip.low + flip.high) / 2, line={"color": INK, "width": 1.5, "dash": "dot"},
            annotation={"text": f"← {plain(classes[flip.before])} | {plain(classes[flip.after])} →", "font_size": 11},
        )  # fmt: skip
    sets = any(lever.operation == "set" for lever in edit.levers)
    words = "factor (1: set levers as you set them)" if sets else "factor (0 suppresses, 1 leaves as is)"
    return _laid_out(chart, words, f"change, {UNIT}")


def plain(name: str, most: int = 18) -> str:
    """A name as plotly shows it: it reads a few tags, and a long name would push the chart away."""
    short = name if len(name) <= most else name[: most - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _laid_out(chart: go.Figure, x: str, y: str) -> go.Figure:
    axis = {"gridcolor": FAINT, "zerolinecolor": FAINT, "zerolinewidth": 2, "automargin": True, "fixedrange": True}
    chart.update_layout(
        template="none", height=300, autosize=True, margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": INK, "size": 12.5},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.08, "x": 0}, bargap=0.08, hovermode="closest",
        xaxis={**axis, "title": {"text": x, "standoff": 8}}, yaxis={**axis, "title": {"text": y, "standoff": 8}},
    )  # fmt: skip
    return chart
