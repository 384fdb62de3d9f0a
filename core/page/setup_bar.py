"""Setup bar, at the top of the page: which setup answers, what is known of it, and the loading of another.

The page's own setup may still be loading when the page is opened (opening.py). Such a page follows that, by one event
that lasts until it is over; those that are opened later ask nothing.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import gradio as gr

from ..errors import UserError
from ..session import visit as session
from ..session.cancellation import LatestOnly
from ..session.typed import Text
from ..session.visit import Visit
from ..setups.loading import Loading
from ..views import frame
from ..views import setup as setup_view
from . import widgets
from .context import Context
from .lanes import EVERY, LOADING, Lane
from .opening import AT_ONCE
from .replies import Besides, Change, Changes, Outcome, Redraw, Replies, Shown, Shows, Updates

LEFT_BEHIND = "Your levers stayed behind: the components of another dictionary are others."
ONE_WORDING = (
    "The classes are asked about in one wording: to read them in all takes this setup minutes. For that, choose the "
    "wording under Image."
)


class Failure(NamedTuple):
    """Why a setup could not be loaded."""

    setup: str
    """Its name."""
    sentence: str
    """For the visitor."""


class Progress(TypedDict):
    """What is told of a loading. All of it every time: what a stream leaves out is emptied."""

    said: str
    """HTML: how far it is, or why it failed."""
    busy: bool
    """Whether it can be stopped."""
    failed: Failure | None
    """Why it failed."""


class Stopped(Progress):
    """What is told when a loading was stopped."""

    chosen: str
    """The setup that stays."""


@dataclass(frozen=True)
class SetupBar:
    """Its parts."""

    chosen: gr.Dropdown
    line: gr.HTML
    page: gr.HTML
    opening: gr.HTML
    """What becomes of the setup that the page is meant to open with."""
    said: gr.HTML
    stop: gr.Button
    loading: gr.State
    """LatestOnly, of loadings."""
    failed: gr.State
    """Failure | None, of the latest loading."""


def build(context: Context, first: Visit) -> SetupBar:
    """Its layout."""
    with gr.Row(elem_id="top"):
        widgets.html(frame.header(frame.TITLE, frame.CLAIM), elem_id="brand")
        with gr.Row(elem_id="setup"):
            widgets.html(setup_view.setup_name(), elem_id="setup-name")
            chosen = gr.Dropdown(
                [(setup_view.setup_choice(card), name) for name, card in context.pool.cards.items()],
                value=first.setup, label="Setup", elem_id="chosen", container=False, filterable=False,
            )  # fmt: skip
        line = widgets.html(show_line(context, first), elem_id="setup-line")
        with gr.Accordion("About this setup", open=False, elem_id="about-setup"):
            page = widgets.html(show_page(context, first), elem_id="setup-page")
    opening = widgets.widget("opening", show_opening(context, first), elem_classes="said")
    said = widgets.notice_place("said-setup")
    stop = gr.Button("Stop loading it", visible=False, size="sm", elem_id="stop")
    return SetupBar(chosen, line, page, opening, said, stop, gr.State(LatestOnly()), gr.State(None))


def redraws(bar: SetupBar) -> list[Redraw]:
    """What it draws anew, and since when."""
    return [Redraw(bar.line, Change.SETUP, show_line), Redraw(bar.page, Change.SETUP, show_page)]


def asked_again(bar: SetupBar) -> list[Besides]:
    """What a visitor chose, as it follows from a visit that was brought back, and what is told of the page's setup."""
    return [
        Besides(bar.chosen, lambda _, __, v, *_read: v.setup),
        Besides(bar.opening, lambda context, _, v, *_read: show_opening(context, v)),
    ]


def listen(bar: SetupBar, replies: Replies, uploads: tuple[gr.File, gr.File], said: gr.HTML, another: Lane) -> Changes:
    """Its listeners. `uploads`: of the picture, and of the second one. What there is to say is told in `said`.

    The last step of a stream may be drawn after the reply to what follows it, which would then be wiped away.
    """
    shows: Shows = {"said": bar.said, "busy": Shown(bar.stop, _stop_button), "failed": bar.failed}
    # The list itself is no part of the stream: between its steps it would be emptied.
    brought = bar.chosen.input(*replies.stream(load, shows, bar.chosen, bar.loading), **LOADING)
    back, told = asked_again(bar)[0], Besides(bar.opening, _still_told)
    asked_for = (bar.chosen, bar.failed, *uploads)
    moved = replies.step(
        use, Change.SETUP, *asked_for, notices=[bar.said], notes=said, on_trouble=[back], besides=[told]
    )  # fmt: skip
    bar.stop.click(*replies.answer(stop_loading, {**shows, "chosen": bar.chosen}, bar.loading), **EVERY)
    context = replies.context
    if context.opening.job is None:
        return [(Change.SETUP, brought.then(*moved, **another))]

    async def follow() -> AsyncIterator[Updates]:
        async for told in following(context):
            yield {bar.opening: told}
        yield {bar.opening: gr.skip()}  # in place of the last step, which would be sent again

    over = bar.opening.follow(follow, None, bar.opening, **LOADING)
    told_at_last = over.then(*replies.answer(show_opening, bar.opening), **EVERY)
    for asked in (over, told_at_last):
        widgets.tells_of_refusal(asked, "opening")
    taken = replies.step(take, Change.SETUP, *uploads, notices=[bar.said], notes=said, besides=[back, told])
    return [(Change.SETUP, brought.then(*moved, **another)), (Change.SETUP, bar.opening.take(*taken, **another))]


def show_line(context: Context, v: Visit) -> str:
    """What a visitor should know before trusting the setup."""
    return setup_view.setup_line(context.card(v))


def show_page(context: Context, v: Visit) -> str:
    """What is known of the setup."""
    return setup_view.setup_page(context.bench(v).setup)


def show_opening(context: Context, v: Visit) -> str:
    """What becomes of the setup that the page is meant to open with, for a visit that began before it was there."""
    opening, title = context.opening, context.card(v).title
    if opening.job is None or v.setup != AT_ONCE:
        return frame.notice()
    if opening.trouble:
        return frame.notice(f"{opening.trouble} {title} answers instead.", tone="warn")
    if opening.is_loading:
        return setup_view.loading_for_all(_title(context), title, opening.job.step)
    return setup_view.ready(_title(context))


async def following(context: Context) -> AsyncIterator[str]:
    """How far that setup is, for as long as it is loading. No thread waits for it."""
    job = context.opening.job
    assert job is not None
    async for step in job.watch():
        yield setup_view.loading_for_all(_title(context), context.pool.cards[AT_ONCE].title, step)


def loading_first(context: Context, name: str, said: gr.HTML) -> Iterator[Updates]:
    """Load the setup that a visit is about which opens, and tell in `said` how far that is."""
    for step in context.pool.bring(name):
        if isinstance(step, Loading):
            yield {said: setup_view.loading_for_view(context.pool.cards[name].title, step)}


def take(context: Context, v: Visit, file: str | None, second: str | None = None) -> Visit | Outcome:
    """Ask the setup that the page is meant to open with, now that it is there."""
    return v if v.setup == context.opening.wanted else _moved(context, v, context.opening.wanted, file, second)


def load(context: Context, v: Visit, name: Text, loading: LatestOnly[Progress]) -> Iterator[Progress]:
    """Load a setup, telling how far that is. The visit goes on meanwhile, with the setup it has."""
    if loading.about == name:  # Gradio tells of a choice by mouse twice
        return
    before, end = loading.reply, _progress()
    told = before is not None and before["busy"]
    wanted_still = loading.begin(about=name)
    loading.reply = end  # an older loading may end before this one has told anything
    try:
        for step in context.pool.bring(name):
            if not wanted_still():
                break
            if isinstance(step, Loading):
                loading.reply = _progress(setup_view.loading(context.pool.cards[name].title, step), busy=True)
                told = True
                yield loading.reply
    except UserError as trouble:
        sentence = f"{trouble} {context.card(v).title} stays."
        end = _progress(frame.notice(sentence, tone="bad"), failed=Failure(name, sentence))
        told = True
    finally:
        if wanted_still():
            loading.about, loading.reply = None, end
    if told:
        yield loading.reply


def use(
    context: Context, v: Visit, name: Text, failed: Failure | None, file: str | None, second: str | None = None
) -> Visit | Outcome:
    """Ask the setup that was loaded, unless another was chosen meanwhile, which is on its way."""
    if failed is not None and name == failed.setup:
        raise UserError(failed.sentence)
    if name == v.setup or name not in context.pool.loaded():
        return v
    return _moved(context, v, name, file, second)


def stop_loading(context: Context, v: Visit, loading: LatestOnly[Progress]) -> Stopped:
    """Whoever presses stop no longer waits; when nobody does, the loading ends."""
    loading.begin()
    sentence = f"Stopped. {context.card(v).title} stays; what was downloaded is kept."
    loading.reply = _progress(frame.notice(sentence))
    return {**loading.reply, "chosen": v.setup}


def _moved(context: Context, v: Visit, name: str, file: str | None, second: str | None) -> Outcome:
    moved = session.change_setup(context.pool.get(name), v, context.picture(v, file), context.second(v, second))
    notes = [LEFT_BEHIND] if v.edit.levers else []
    if moved.templates != v.templates:
        notes.append(ONE_WORDING)
    return Outcome(moved, Change.SETUP, tuple(notes))


def _title(context: Context) -> str:
    card = context.pool.cards.get(context.opening.wanted)
    return context.opening.wanted if card is None else card.title


def _still_told(context: Context, before: Visit, v: Visit, *_: object) -> str:
    """What a page that was opened before that setup was there goes on to say of it."""
    return frame.notice() if before.setup == context.opening.wanted else show_opening(context, v)


def _progress(said: str = "", busy: bool = False, failed: Failure | None = None) -> Progress:
    return {"said": said or frame.notice(), "busy": busy, "failed": failed}


def _stop_button(busy: bool) -> gr.Button:
    return gr.Button("Stop loading it", visible=busy)
