"""State of a visit between two events: where the page keeps it, and the one place where a listener gets it from."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from ..session.visit import Visit


@dataclass(frozen=True)
class VisitState:
    """The components that hold a visit."""

    kept: gr.State
    """The visit itself, in the server's memory."""

    @property
    def parts(self) -> tuple[Component, ...]:
        """What every listener reads first, and what every step writes."""
        return (self.kept,)

    def visit(self, kept: Visit) -> Visit:
        """The visit that an event is about, from the values of `parts`."""
        return kept

    def kept_as(self, visit: Visit) -> dict[Block, Any]:
        """The visit from now on, as an update of `parts`."""
        return {self.kept: visit}
