"""Lanes of the page's listeners: what waits for what, and which of several quick events count.

One visitor's changes must not overtake each other: in their lane, one of each visitor runs at a time. Long answers, the
questions of programs and the loading of setups have lanes of their own; `FairQueue` says who is next in each.
"""

from typing import Any

import gradio as gr
from gradio.events import Dependency

Lane = dict[str, Any]
"""Options of an event."""

VISIT = "visit"
"""The lane of what changes a visit, or is quick."""
EVIDENCE, PROGRAMS = "evidence", "programs"
"""The lanes of long answers, and of the questions of programs."""
COMPUTING = frozenset({VISIT, EVIDENCE, PROGRAMS})
"""The lanes in which a turn is waited for. The others wait for downloads, or do next to nothing."""

PRIVATE: Lane = {"api_visibility": "private", "show_progress": "hidden", "show_progress_on": []}
"""Nothing tells of its progress, and no part is told of it either: at every change of state Gradio's script would copy
all that stands in every output, and in all parts below it."""
TURN: Lane = PRIVATE | {"concurrency_id": VISIT, "concurrency_limit": None}
EVERY: Lane = TURN | {"trigger_mode": "multiple"}
"""Every press counts, in order."""
LATEST: Lane = TURN | {"trigger_mode": "always_last"}
"""Only the latest counts, read from the widget's value."""
LONG: Lane = PRIVATE | {"concurrency_id": EVIDENCE, "concurrency_limit": None}
LOADING: Lane = PRIVATE | {"concurrency_id": "setups", "concurrency_limit": None, "trigger_mode": "multiple"}

AS_SENT: Lane = {"preprocess": False}
"""The step alone reads its inputs. Gradio would look for a choice among those that this server last sent to the page,
which one that has restarted does not know; and it would decode a painted picture with its layers, of any size."""


def slow(prediction: gr.HTML) -> Lane:
    """What takes a moment, told over the prediction."""
    return EVERY | _told_on(prediction)


def long(place: gr.HTML) -> Lane:
    """What takes long, and is told where its answer will stand."""
    return LONG | _told_on(place)


def _told_on(part: gr.HTML) -> Lane:
    return {"show_progress": "minimal", "show_progress_on": [part]}


def another(prediction: gr.HTML, searching: Dependency) -> Lane:
    """Another picture, other classes, another setup: it ends the search for an edit, which is for one of each."""
    return slow(prediction) | {"cancels": [searching]}
