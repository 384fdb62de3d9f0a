"""Follow-up of a change: of the tabs whose answers take long, the one in sight is asked, and no other.

The browser knows which tab is open. It hears of every change by a script alone, without asking anything (following.js).
"""

from collections.abc import Sequence
from typing import NamedTuple

import gradio as gr
from gradio.events import Dependency

from . import lanes, widgets
from .replies import Listener


class Followed(NamedTuple):
    """A tab, and when its answer may be another."""

    tab: str
    """Its id, an event of the script."""
    listener: Listener
    """What it answers. It hears an `OpenTab`: one that says another tab ends what nobody looks at any more."""
    place: gr.HTML
    """Where is told that an answer takes long."""
    events: Sequence[Dependency]
    """What it follows."""


def build() -> gr.HTML:
    """Its script's place."""
    return widgets.widget("following", "")


def listen(script: gr.HTML, tabs: Sequence[Followed]) -> None:
    """Its listeners."""
    for tab, listener, place, events in tabs:
        asked = getattr(script, tab)(*listener, **lanes.long(place), trigger_mode="multiple")
        asked.then(None, js=widgets.tells("answered", tab))
        widgets.tells_of_refusal(asked, tab)
        for event in events:
            event.then(None, js=widgets.tells("changed", tab))
