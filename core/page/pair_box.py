"""Two at once, in the Before / after tab: beside the visit another edit, picture, setup, or a line of the log."""

from collections.abc import Sequence

import gradio as gr
from markupsafe import Markup

from ..errors import UserError
from ..methods.steering import Edit
from ..session import visit as session
from ..session.view_state import ViewState
from ..session.visit import Visit, subject_of
from ..views import pair as pair_view
from ..views.pair import Choice, SideView
from ..workbench import Workbench
from . import keeper, widgets
from .context import Context
from .faces import faces
from .lanes import LATEST
from .replies import Change, Redraw, Replies, Shown
from .wire import BringBack, ShowTwo


def build(context: Context, first: Visit) -> gr.HTML:
    """Its layout."""
    return widgets.message_widget("pair", show_choices(context, first), "")


def redraws(pair: gr.HTML) -> list[Redraw]:
    """What it draws anew, and since when; after smaller changes its script asks again, where it is in sight."""
    return [Redraw(pair, Change.PICTURE, lambda context, v: widgets.redrawn(show_choices(context, v)))]


def listen(pair: gr.HTML, replies: Replies) -> None:
    """Its listener, which does not change the visit."""
    shown = Shown(pair, widgets.redrawn)
    asked = pair.pair(*replies.answer(show_two, shown, hears=ShowTwo, written_in=pair), **LATEST)
    widgets.tells_of_refusal(asked, "pair")


def show_choices(context: Context, v: Visit) -> str:
    """What can be shown beside a visit."""
    return pair_view.choices(_choices(context, v))


def show_two(context: Context, v: Visit, asked: ShowTwo) -> str:
    """The two, side by side. Raises UserError for what cannot be had now."""
    if asked.kind == "lines":
        lines = [_line(context, line) for line in asked.lines]
        if not lines:
            raise UserError("There is no line to compare with. Choose one of your log.")
        left, right = (v, *lines)[-2:]
    else:
        left, right = v, _beside(context, v, asked)
    return pair_view.choices(_choices(context, v), (asked.kind, asked.name), _shown(context, left, right))


def _choices(context: Context, v: Visit) -> Sequence[tuple[str, Sequence[Choice]]]:
    example, cue, card = context.example(v), context.cue(v), context.card(v)
    same: list[Choice] = [("plain", "", "without any lever")]
    if example is not None and cue is not None:
        same.append(("cue", "", f"with{'' if v.subject.counterfactual else 'out'} the {cue}"))
    others: list[Choice] = [("example", one.name, one.sentence) for one in context.gallery(card) if one is not example]
    loaded = [name for name in context.pool.loaded() if name != v.setup and name in context.pool.cards]
    setups: list[Choice] = [("setup", name, context.pool.cards[name].title) for name in loaded]
    groups = ("The same picture", same), ("Another picture", others), ("The same asked of another setup", setups)
    return [(title, listed) for title, listed in groups if listed]


def _beside(context: Context, v: Visit, asked: ShowTwo) -> Visit:
    bench, example = context.bench(v), context.example(v)
    if asked.kind == "plain":
        return session.change(bench, v, Edit())
    if asked.kind == "setup":
        other = _loaded(context, asked.name)
        source = v.trace.crop if example is None else example.file(v.subject.counterfactual)
        moved = session.change_setup(other, v, source, context.second(v))
        return moved if v.about_second else session.set_target(other, moved, v.target)
    shown = context.example_named(asked.name) if asked.kind == "example" else example
    on = asked.kind == "cue" and not v.subject.counterfactual
    if shown is None or (on and shown.counterfactual is None):
        raise UserError("That picture is not here any more. Choose another to stand beside it.")
    return session.look_at(bench, v, shown.file(on), subject_of(shown, on))


def _line(context: Context, line: BringBack) -> Visit:
    state = ViewState.parsed(line.state)
    visit = keeper.from_state(context, _loaded(context, state.setup), state, line.picture(), line.second_picture())
    if visit is None:
        raise UserError("This browser does not keep the picture of that line: bring it again in Image, then compare.")
    return visit


def _loaded(context: Context, setup: str) -> Workbench:
    if setup not in context.pool.loaded():
        raise UserError("The setup of that is not loaded now. Choose it at the top of the page first, then come back.")
    return context.pool.get(setup)


def _shown(context: Context, *visits: Visit) -> Markup:
    left, right = (SideView(v, *session.afterwards(context.bench(v), v), context.card(v).title) for v in visits)
    listed = pair_view.shown_components(left, right)
    known = {v.setup: faces(context.bench(v), shown, 1) for v, shown in zip(visits, listed, strict=True)}
    return pair_view.pair(left, right, known)
