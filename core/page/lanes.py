"""Queues of the page's listeners: what waits for what, and which of several quick events count.

One visitor's changes must not overtake each other: all of them pass one queue, one at a time. Long answers and the
loading of setups have queues of their own.
"""

from typing import Any

import gradio as gr
from gradio.events import Dependency

Lane = dict[str, Any]
"""Options of an event."""

PRIVATE: Lane = {"api_visibility": "private", "show_progress": "hidden"}
TURN: Lane = PRIVATE | {"concurrency_id": "visit", "concurrency_limit": 1}
EVERY: Lane = TURN | {"trigger_mode": "multiple"}
"""Every press counts, in order."""
LATEST: Lane = TURN | {"trigger_mode": "always_last"}
"""Only the latest counts, read from the widget's value."""
LONG: Lane = PRIVATE | {"concurrency_id": "evidence", "concurrency_limit": 4}
LOADING: Lane = PRIVATE | {"concurrency_id": "setups", "concurrency_limit": 32, "trigger_mode": "multiple"}


def slow(panel: gr.HTML) -> Lane:
    """What takes a moment, told beside the prediction."""
    return EVERY | {"show_progress": "minimal", "show_progress_on": [panel]}


def another(panel: gr.HTML, searching: Dependency) -> Lane:
    """Another picture, other classes, another setup: it ends the search for an edit, which is for one of each."""
    return slow(panel) | {"cancels": [searching]}
