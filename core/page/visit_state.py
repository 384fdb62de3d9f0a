"""State of a visit between two events: where the page keeps it, and the one place where a listener gets it from.

The page carries what its visit is about (`ViewState`) and sends it with every event; what the server's memory holds is
a cache of it. So an answer is never about another picture than the one in sight: after a restart, a long pause or on
another server the visit is worked out anew from what the page carries, or the page brings it back first (keeper.py).
"""

import json
import time
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from ..model.class_lists import written
from ..session import visit as session
from ..session.links import LONGEST, to_query
from ..session.view_state import ViewState, is_of, restored, state_of
from ..session.visit import Visit
from .context import Context


def keep(first: Visit) -> gr.State:
    """Where a visit is kept that begins so. Of a value Gradio would write out every field whenever it changes."""
    kept = gr.State()
    kept.value = lambda: first  # given at once, it would be asked for by another event of each page
    return kept


@dataclass(frozen=True)
class VisitState:
    """The components that hold a visit."""

    kept: gr.State
    """The visit itself, in the server's memory."""
    carried: gr.HTML
    """What it is about, in the page: a serialised ViewState (keeper.js); its prop `names` has classes that are long to
    write, by the mark that stands for them there."""

    @property
    def parts(self) -> tuple[Component, ...]:
        """What every listener reads first, and what every step writes."""
        return self.kept, self.carried

    def visit(self, context: Context, kept: Visit, carried: str | None) -> Visit | None:
        """The visit that an event is about, from the values of `parts`; None where it has to be brought back first.

        Raises UserError for a state that no page of ours carries.
        """
        state = ViewState.parsed(carried)
        if is_of(context.bench(kept), kept, state):
            return kept if kept.key == state.key else replace(kept, key=state.key)
        if not state.is_whole:
            return None
        example = context.example_named(state.picture.example)
        if example is not None and state.setup in context.pool.loaded():
            bench = context.pool.get(state.setup)
            second = None if state.second is None else context.example_named(state.second.example)
            seconds = [] if second is None else [second.file()]
            visit = restored(bench, state, [example.file(state.picture.counterfactual)], seconds)
            if visit is None or (visit.second is None) != (state.second is None):
                return None
            return session.measure(bench, visit)
        return None

    def kept_as(self, context: Context, visit: Visit, carried: str | None = None) -> dict[Block, Any]:
        """The visit from now on, as an update of `parts`. Raises UserError for more than 256 levers.

        `carried`: what the page carried till now. Classes that it has need not be sent again.
        """
        whole = state_of(context.bench(visit), visit)
        state, mark = whole.apart()
        told: dict[str, Any] = {"value": state.serialised(), "query": query_of(whole)}
        if mark and json.dumps(mark) not in (carried or ""):
            told["names"] = json.dumps({mark: written(whole.classes)})
        return {self.kept: visit, self.carried: gr.update(**told)}

    def called_back(self) -> dict[Block, Any]:
        """An update that asks the page for all that it has of its visit (see keeper.py)."""
        return {self.carried: gr.update(lost=time.time_ns())}


def query_of(state: ViewState) -> str:
    """The link to it, without the open tab; nothing for one that is longer than an address may be."""
    if sum(map(len, written(state.classes))) > LONGEST:
        return ""
    query = to_query(state.model_copy(update={"tab": None}))
    return query if len(query) <= LONGEST else ""


def serialised(context: Context, visit: Visit) -> str:
    """What a visit is about, as the page carries it."""
    return state_of(context.bench(visit), visit).serialised()
