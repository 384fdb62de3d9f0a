"""Keeper of the visit: what the page carries outlives a reload, a restart and a pause, and is brought back from there.

The page holds its view state and the very crop that the model saw of a visitor's own picture; its script (keeper.js)
also writes them, the open tab and what was typed to the browser's session storage. From these the visit is worked out
anew: at the opening of a page that was here before, and whenever a listener finds that the server has lost it.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import gradio as gr

from ..errors import UserError, echo
from ..pictures.read import Source, read_picture
from ..session import visit as session
from ..session.links import Link, from_query
from ..session.view_state import EditState, PictureState, ViewState, content_hash, is_of, restored, state_of
from ..session.visit import Visit, subject_of
from ..views import frame
from ..views import image as image_view
from ..workbench import Workbench
from . import widgets
from .context import Context
from .lanes import LOADING, Lane
from .open_link import open_link
from .replies import Besides, Change, Changes, Outcome, Redraw, Replies, Updates
from .setup_bar import LEFT_BEHIND, ONE_WORDING, loading_first
from .visit_state import query_of, serialised
from .widgets import event_data
from .wire import BringBack

FORGOTTEN = (
    "The server had forgotten this page, after a restart or a long pause. It is as it was; "
    "what you pressed last did not arrive: press it again."
)
BRING_IT_AGAIN = (
    "The server has forgotten your picture, and this page does not hold it either: bring it again. "
    "Your classes, target and levers are kept; until then they are applied to this example."
)
NO_SECOND = (
    "The second picture is not here any more: bring it again under “Compare with another picture”. "
    "Until then classes are asked about."
)
BRINGING = "(...told) => [...told.slice(0, -1), JSON.stringify(document.querySelector('#keeper').bringing)]"
"""A listener's `js`: its last input becomes a `BringBack`."""
BROUGHT = "bring"
"""Among the latest messages of a visit: the moment of the `BringBack` that it came by."""


@dataclass(frozen=True)
class Keeper:
    """Its parts, of which a visitor sees the sentence alone."""

    carried: gr.HTML
    """The view state, as JSON. Its prop `query` is the link to it, without the open tab; `names`: see `VisitState`."""
    crop: gr.HTML
    """What the model saw of a visitor's own picture, lossless; nothing for an example."""
    said: gr.HTML
    """What became of the visit."""
    message: gr.Textbox
    """A `BringBack`, while one is on its way."""


def build(context: Context, first: Visit) -> Keeper:
    """Its layout."""
    said = widgets.notice_place("said-kept")
    widgets.html(frame.missed(), elem_id="missed", elem_classes="said")
    crop = widgets.html(show_crop(first), elem_id="crop-sheet")
    query = query_of(state_of(context.bench(first), first))
    carried = widgets.message_widget("keeper", "", serialised(context, first), lost=0, query=query, names="")
    return Keeper(carried, crop, said, gr.Textbox(visible=False))


def redraws(keeper: Keeper) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [Redraw(keeper.crop, Change.PICTURE, lambda _, v: show_crop(v))]


def listen(
    keeper: Keeper, replies: Replies, asked_again: Sequence[Besides], slow: Lane, tabs: Collection[str]
) -> Changes:
    """Its listeners. `asked_again`: what a visitor chose and typed, as it follows from the visit; `tabs`: by name."""

    def bring(context: Context, held: Visit, asked: BringBack) -> Outcome:
        return once(context, held, asked, tabs)

    def load(event: gr.EventData) -> Iterator[Updates]:
        """Load the setup first, in a lane in which nobody else waits for it."""
        with suppress(UserError):
            name = setup_named(replies.context, BringBack.read(event_data(event)))
            yield from loading_first(replies.context, name, keeper.said)
        yield {keeper.said: gr.skip()}

    brought = replies.step(
        bring, Change.SETUP, hears=BringBack, written_in=keeper.message, notices=[keeper.said],
        besides=asked_again, brings_back=True,
    )  # fmt: skip
    loaded = keeper.carried.restore(load, None, keeper.said, **LOADING)
    event = loaded.then(*brought, **slow, js=BRINGING)
    event.then(None, js=widgets.tells("brought", "visit"))
    for asked in (loaded, event):
        widgets.tells_of_refusal(asked, "visit")
    return [(Change.SETUP, event)]


def show_crop(v: Visit) -> str:
    """The crop of a visitor's own picture."""
    return image_view.crop(v.trace.crop) if v.subject.example is None else ""


def setup_named(context: Context, asked: BringBack) -> str:
    """The setup that a page is about, by its link or by what it carries. Raises UserError for what is forged."""
    if asked.link:
        return from_query(asked.link)[0].setup or context.opening.meant
    return ViewState.parsed(asked.state).setup


def once(context: Context, held: Visit, asked: BringBack, tabs: Collection[str] = ()) -> Outcome:
    """As `bring_back`, but nothing where that was done: a page that waits long asks again, and may go on meanwhile."""
    if held.latest_message.get(BROUGHT) == asked.moment:
        return Outcome(held, None)
    outcome = bring_back(context, held, asked, tabs)
    v = outcome.visit
    return replace(outcome, visit=replace(v, latest_message=v.latest_message | {BROUGHT: asked.moment}))


def bring_back(context: Context, held: Visit, asked: BringBack, tabs: Collection[str] = ()) -> Outcome:
    """The page's visit, or what a link says, in place of what the server holds. What cannot be brought back is said."""
    link, said = from_query(asked.link)
    if said or link != Link():
        return open_link(context, held, asked, link, (*said, *_no_tab(link, tabs)))
    state = ViewState.parsed(asked.state)
    if is_of(context.bench(held), held, state):
        return Outcome(held if held.key == state.key else replace(held, key=state.key), None)
    visit, notes = rebuilt(context, held, state, (asked.picture(), asked.second_picture()), BRING_IT_AGAIN)
    told = [FORGOTTEN, *notes] if asked.pressed else notes
    return Outcome(visit, Change.SETUP, tuple(told), tone="warn")


def rebuilt(
    context: Context, held: Visit, state: ViewState, crops: tuple[bytes | None, bytes | None], lost: str
) -> tuple[Visit, Sequence[str]]:
    """The visit that a state is of, measured, and what of it could not be brought back, in sentences.

    Its pictures are its examples, or else the files `crops`, the first and the second; the sentence `lost` is for where
    nothing shows the first. `held`: the visit of whose setup it is where its own cannot be had.
    """
    notes = []
    bench = context.bench(held)
    if state.setup in context.pool.loaded():
        bench = context.pool.get(state.setup)
    else:
        notes.append(f"The setup “{echo(state.setup)}” cannot be had now: {bench.card.title} answers instead.")
    templates = bench.readable(state.classes, state.templates)
    if templates != state.templates:
        state = state.model_copy(update={"templates": templates})
        notes.append(ONE_WORDING)
    visit = from_state(context, bench, state, *crops)
    if visit is None:
        notes.append(lost)
        visit = _on_an_example(context, bench, state, crops[1])
    if state.second is not None and visit.second is None:
        notes.append(NO_SECOND)
    if state.edit.levers and not visit.edit.levers:
        notes.append(LEFT_BEHIND)
    return session.measure(bench, visit), notes


def _no_tab(link: Link, tabs: Collection[str]) -> Iterator[str]:
    if link.tab is not None and link.tab not in tabs:
        yield f"This link opens a tab “{echo(link.tab)}”, which is not among those of this page."


def from_state(
    context: Context, bench: Workbench, state: ViewState, crop: bytes | None, second: bytes | None = None
) -> Visit | None:
    """A state's visit, from its examples or the crops; without its levers where this setup has no such components.

    None where neither shows its picture; without a second picture where neither shows that.
    """
    sources = _sources(context, state.picture, crop), _sources(context, state.second, second)
    try:
        return restored(bench, state, *sources)
    except UserError:
        return restored(bench, state.model_copy(update={"edit": EditState(), "component": None}), *sources)


def _sources(context: Context, picture: PictureState | None, crop: bytes | None) -> list[Source]:
    """Where a picture of a state may be found."""
    example = None if picture is None else context.example_named(picture.example)
    shown = None if example is None or picture is None else example.file(picture.counterfactual)
    return [source for source in (shown, crop) if source is not None]


def _on_an_example(context: Context, bench: Workbench, state: ViewState, second: bytes | None) -> Visit:
    """All of a visit but its picture, on the first example until that picture is brought again."""
    example, *_ = context.gallery(bench.card)
    subject = subject_of(example)
    crop = bench.setup.clip.crop(read_picture(example.file()))
    picture = PictureState(caption=subject.caption, example=example.name, content=content_hash(crop))
    visit = from_state(context, bench, state.model_copy(update={"picture": picture}), None, second)
    assert visit is not None  # its hash was just taken
    return replace(visit, awaited=state.picture.content)
